"""The committed examples of a configuration for Ray Serve: each `deploy/serve/*.yaml` is made from its `*.toml`.

`python -m scripts.serve_examples generate` makes them anew, as `tickserve config` would print them; `check` says what
has drifted. No variable and no other file has a say.
"""

import os
import sys
from pathlib import Path

from scripts.layering import ROOT
from server.commands.config import as_yaml
from server.config.settings import CONFIG_VARIABLE, Settings, load_settings
from server.serve_config import cluster_config

FOLDER = ROOT / "deploy/serve"
ONE_NODE = FOLDER / "one-node.toml"


def sources() -> list[Path]:
    """Returns the settings files of the examples."""
    return sorted(FOLDER.glob("*.toml"))


def settings_of(source: Path) -> Settings:
    """Returns the settings in a file, whatever this process's environment says."""
    kept = {name: value for name, value in os.environ.items() if name.upper().startswith(("TICKSERVE_", "MODEL_"))}
    for name in kept:
        del os.environ[name]
    os.environ[CONFIG_VARIABLE] = str(source)
    try:
        return load_settings()
    finally:
        del os.environ[CONFIG_VARIABLE]
        os.environ.update(kept)


def generated(source: Path) -> str:
    """Returns the YAML that belongs to a settings file."""
    return as_yaml(cluster_config(settings_of(source), one_node=source == ONE_NODE))


def drifted() -> list[Path]:
    """Returns the examples that are not what their settings make."""
    made = [(source.with_suffix(".yaml"), generated(source)) for source in sources()]
    return [path for path, text in made if not path.exists() or path.read_text(encoding="utf-8") != text]


def main(arguments: list[str]) -> None:
    """Makes the examples, or says what has drifted and fails."""
    if arguments == ["generate"]:
        for source in sources():
            source.with_suffix(".yaml").write_text(generated(source), encoding="utf-8")
    elif arguments == ["check"]:
        if names := [path.relative_to(ROOT).as_posix() for path in drifted()]:
            raise SystemExit(f"{', '.join(names)} drifted; run `python -m scripts.serve_examples generate`")
    else:
        raise SystemExit("usage: python -m scripts.serve_examples generate|check")


if __name__ == "__main__":
    main(sys.argv[1:])
