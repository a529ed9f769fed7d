"""What the Dockerfile says agrees with the repository; no engine builds it here."""

import re

import pytest

from server.config.settings import Settings
from tests.support.documented import ROOT

LINES = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
STEPS = [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in LINES if re.match(r"[A-Z]+ ", line)]
RUN_READ_ONLY = (ROOT / "scripts/read_only_run.sh").read_text(encoding="utf-8")


def of(instruction: str) -> list[str]:
    """Returns the arguments of every step of a kind."""
    return [rest for name, rest in STEPS if name == instruction]


def test_what_is_copied_is_there() -> None:
    """Every source of a COPY from the context is in the repository."""
    sources = [word for rest in of("COPY") if "--from" not in rest for word in rest.split()[:-1]]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_its_settings_exist() -> None:
    """Each variable of ours is a setting's, else the service would not start."""
    names = re.findall(r"\bTICKSERVE_(\w+)=", " ".join(of("ENV")))
    assert len(names) >= 3
    for name in names:
        group, _, field = name.lower().partition("__")
        model = Settings.model_fields[group].annotation if field else Settings
        assert (field or group) in getattr(model, "model_fields", {}), name


def test_its_user_is_the_one_that_was_tried() -> None:
    """It runs as the number that scripts/read_only_run.sh runs as, and not as root."""
    [tried] = re.findall(r"^UID_INSIDE=(\d+)", RUN_READ_ONLY, re.MULTILINE)
    assert of("USER") == [f"{tried}:{tried}"]
    assert int(tried) > 0
    assert STEPS.index(("USER", f"{tried}:{tried}")) > max(i for i, (name, _) in enumerate(STEPS) if name == "RUN")


@pytest.mark.parametrize("port", ["grpc_port", "http_port"])
def test_its_ports_are_the_defaults(port: str) -> None:
    """What it exposes is where the service listens."""
    assert str(Settings.model_fields[port].default) in " ".join(of("EXPOSE")).split()


def test_the_last_stage_has_no_compiler() -> None:
    """Packages of the system are installed in the first stage alone."""
    last = max(index for index, (name, _) in enumerate(STEPS) if name == "FROM")
    assert any("build-essential" in rest for _, rest in STEPS[:last])
    assert not any("apt-get" in rest for _, rest in STEPS[last:])
