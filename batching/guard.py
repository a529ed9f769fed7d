"""Owns how a step of the loop may fail. Must not know what the step does."""

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


def guarded(what: str, action: Callable[[], object]) -> bool:
    """Law 11: run one step so that its failure is logged and nothing else fails with it; tell whether it succeeded."""
    try:
        action()
    except Exception:
        logger.exception("internal failure of the scheduler in %r", what)
        return False
    return True
