"""What is installed is what was pinned, and nothing that can run code is read from where input comes from."""

import ast
import json
import re
from collections.abc import Iterator

import pytest

from scripts.layering import ROOT, imports, source_files

# Modules whose very purpose is to turn bytes into objects, and so into code.
FORBIDDEN_MODULES = {
    *("pickle", "_pickle", "cPickle", "pickletools", "cloudpickle", "dill", "shelve", "joblib", "marshal", "code"),
    *("torch.hub", "torch.package", "yaml"),
}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "importlib.import_module"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"),
}
# Calls that are safe with an argument of this value alone.
ONLY_WITH = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "np.lib.format.read_array": ("allow_pickle", False),
}
# One file, each with what makes sure that its bytes are ours.
ALLOWED = {
    # From the compiled cache: a folder that this user alone may write, every file hashed in its manifest.
    ("model/torchscript_engine.py", "torch.jit.load"),
    # Writes what we made ourselves, and reads nothing: the function alone, not its module.
    ("server/commands/config.py", "yaml.safe_dump"),
}
SERVED = tuple(path for path in source_files() if not path.startswith("benchmarks/"))


def dotted(node: ast.expr) -> str:
    """Returns the dotted name of an expression; empty where it is none."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{base}.{attr}" if (base := dotted(value)) else ""
    return ""


def is_given(call: ast.Call, name: str, value: object) -> bool:
    """Tells whether a call has a keyword argument that is this constant."""
    return any(
        keyword.arg == name and isinstance(keyword.value, ast.Constant) and keyword.value.value is value
        for keyword in call.keywords
    )


def unsafe(path: str, source: str) -> Iterator[str]:
    """Yields what a file does that can turn input into code."""
    for item in imports(path, source):
        if any(item.within(module) for module in FORBIDDEN_MODULES) and (path, item.name) not in ALLOWED:
            yield f"{path}:{item.line}: imports {item.name}"
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        if name in FORBIDDEN_CALLS or is_given(node, "shell", True):
            yield f"{path}:{node.lineno}: {name}"
        if name in ONLY_WITH and not is_given(node, *ONLY_WITH[name]):
            yield f"{path}:{node.lineno}: {name} without {ONLY_WITH[name][0]}={ONLY_WITH[name][1]}"
        if name == "torch.jit.load" and (path, name) not in ALLOWED:
            yield f"{path}:{node.lineno}: {name}"


@pytest.mark.parametrize("path", SERVED)
def test_nothing_that_input_reaches_can_run_code(path: str) -> None:
    """No pickle and its relatives, no evaluation, no shell, anywhere in service, model, scheduler and client."""
    assert list(unsafe(path, (ROOT / path).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from cloudpickle import loads",
        "def f():\n    import yaml",
        "from torch import package",
        "importlib.import_module('shelve')",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "torch.load(f, weights_only=flag)",
        "np.load(path)",
        "torch.jit.load(path)",
        "eval(text)",
        "exec(text)",
        "subprocess.run(line, shell=True)",
        "os.system(line)",
    ],
)
def test_what_can_run_code_is_found(source: str) -> None:
    """Each kind of it."""
    assert list(unsafe("server/x.py", source))


@pytest.mark.parametrize(
    "source", ["torch.load(f, weights_only=True)", "np.load(f, allow_pickle=False)", "redis.eval(script)", "net.eval()"]
)
def test_what_cannot_is_left_alone(source: str) -> None:
    """The same names with other meanings."""
    assert list(unsafe("server/x.py", source)) == []


def test_every_exception_is_still_needed() -> None:
    """A load that has gone leaves no hole behind it."""
    for path, name in ALLOWED:
        source = (ROOT / path).read_text(encoding="utf-8")
        calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
        assert name in {dotted(call.func) for call in calls} | {item.name for item in imports(path, source)}


@pytest.mark.parametrize("path", ["scripts/setup.sh", "deploy/Dockerfile"])
def test_packages_are_installed_by_their_hashes(path: str) -> None:
    """Each installation asks for hashes, or brings torch (docs/adr/0004), or what lies in this tree alone."""
    text = (ROOT / path).read_text(encoding="utf-8").replace("\\\n", " ")
    installs = re.findall(r"[^&\n]*\bpip\b[^&\n]*\binstall\b[^&\n]*", text)
    assert len(installs) >= 4
    for line in installs:
        assert (
            "--require-hashes" in line or "requirements/torch.txt" in line or "--no-deps --no-build-isolation" in line
        ), line
    hashed = {name for line in installs for name in re.findall(r"requirements/(\w+)\.txt", line)} - {"torch"}
    assert hashed == {"build", "lock"}


def test_torch_brings_nothing_else_along() -> None:
    """All that torch needs is in the hashed lock, so installing it afterwards adds one package."""
    locked = (ROOT / "requirements/lock.txt").read_text(encoding="utf-8")
    needed = [
        line for line in (ROOT / "requirements/torch.in").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert needed
    for name in needed:
        assert re.search(rf"^{re.escape(name)}==", locked, flags=re.MULTILINE), name


def test_every_npm_package_has_a_hash() -> None:
    """The lock of `make lint`'s tools, optional ones included; it is asked for when they are installed."""
    packages = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    named = {name: package for name, package in packages.items() if name}
    assert named
    for name, package in named.items():
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"]), name
