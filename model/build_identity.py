"""What a compiled artifact depends on besides a version's own files: our code, the libraries', the CPU's. No cache."""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ("torch", "openvino", "numpy")


@cache
def build_identity() -> str:
    """Names the code that turns weights into answers: any change of it, or of the libraries, gives another name.

    Every source of this package counts, although most shape no graph: a list of those that do would one day be short
    of one, and an artifact of yesterday's algebra is wrong in silence. The price is one preparation per release.

    Read once in a process, so that it names the code that runs and not what was put in its place meanwhile.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.*")):
        if path.suffix in (".py", ".csv"):
            digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    libraries = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
    return f"sources {digest.hexdigest()[:16]}, {libraries}"


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"
