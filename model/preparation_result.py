"""What a preparation in a process of its own tells whoever started it: one line of JSON. Owns the form of errors."""

import json
from pathlib import Path
from typing import Any

from model.errors import EngineError, ModelError, ModelLoadError, QualityGateError

PREPARED = "prepared"
FAILED = "failed"


def result_line(error: Exception | None, folder: Path) -> str:
    """What the process prints at its end; `error` is what went wrong, None if nothing, `folder` the version's."""
    if error is None:
        return json.dumps({"result": PREPARED})
    match error:
        case ModelLoadError():
            fields = {"path": str(error.path), "reason": error.reason, "remedy": error.remedy}
        case QualityGateError():
            fields = {
                "path": str(error.folder),
                "engine": error.engine,
                "reason": error.finding,
                "remedy": error.remedy,
            }
        case EngineError():
            fields = {"reason": str(error)}
        case ModelError():
            fields = {"path": str(folder), "reason": str(error), "remedy": "mend it and try again"}
        case _:
            reason = f"cannot be prepared: {type(error).__name__}: {error}"
            fields = {"path": str(folder), "reason": reason, "remedy": "the log of the preparation has the trace"}
    return json.dumps({"result": FAILED, "type": type(error).__name__, **fields})


def raise_failure(line: str, folder: Path) -> None:
    """Raises the error that `line` tells of; does nothing if it tells of success.

    Raises:
        ModelLoadError, QualityGateError, EngineError: As the process met it.
        ModelLoadError: It met another error, or `line` is not what a process prints.
    """
    try:
        values: Any = json.loads(line)
        result = values["result"]
        if result == PREPARED:
            return
        path, reason, remedy = Path(values.get("path", folder)), values["reason"], values.get("remedy", "")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"its preparation ended without a result: {line[:200]!r}"
        raise ModelLoadError(folder, reason, "the log has what it wrote") from error
    match values.get("type"):
        case "QualityGateError":
            raise QualityGateError(path, values.get("engine", ""), reason, remedy)
        case "EngineError":
            raise EngineError(reason)
        case _:
            raise ModelLoadError(path, reason, remedy)
