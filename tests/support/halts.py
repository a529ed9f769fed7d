"""Halts for tests, in as few words as a test reads well with."""

from __future__ import annotations

from server.security.halt import EVERYTHING, Halt, HaltScope, ScopeKind
from server.security.halt_set import HaltSet
from server.security.halt_view import Halts


def scope(kind: str = "everything", name: str = "", version: int = 0) -> HaltScope:
    """Returns a scope by the kind's name in lower case."""
    return HaltScope(ScopeKind[kind.upper()], name, version)


def halted(view: Halts, *scopes: HaltScope) -> None:
    """Has a view obey one more change: halts of these scopes, and of no others."""
    halts = {each: Halt(scope=each, reason="why", author="ops", halted_at=1.0) for each in scopes}
    view.apply(HaltSet(halts, view.current.generation + 1))


__all__ = ("EVERYTHING", "halted", "scope")
