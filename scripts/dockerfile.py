"""A Dockerfile as stages and steps, as far as ours has them. Knows no engine and runs nothing.

Source: the Dockerfile reference, https://docs.docker.com/reference/dockerfile/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath


@dataclass(frozen=True, kw_only=True)
class Step:
    """One instruction.

    Attributes:
        name: In capitals, as in `RUN`.
        text: What follows it, on one line.
        line: Where it begins in the file, from 1.
    """

    name: str
    text: str
    line: int

    def words(self) -> list[str]:
        """Returns the arguments without flags, such as `--from=...`."""
        return [word for word in self.text.split() if not word.startswith("--")]

    def flag(self, name: str) -> str:
        """Returns a flag's value; empty where it is not given."""
        found = re.search(rf"(?:^|\s)--{name}=(\S+)", self.text)
        return found[1] if found else ""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """From one FROM to the next.

    Attributes:
        name: As it is called after AS; empty for none.
        base: Image or stage that it starts from, arguments filled in.
        steps: In order, without FROM.
    """

    name: str
    base: str
    steps: tuple[Step, ...]

    def of(self, name: str) -> list[Step]:
        """Returns the steps of a kind."""
        return [step for step in self.steps if step.name == name]


def parse_steps(text: str) -> list[Step]:
    """Returns all instructions, continued lines joined, comments left out."""
    steps: list[Step] = []
    begun, parts = 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        # A comment may stand within a continued instruction.
        if line.lstrip().startswith("#") or (not line.strip() and not parts):
            continue
        begun = begun or number
        parts.append(line.strip().removesuffix("\\").strip())
        if not line.rstrip().endswith("\\"):
            name, _, rest = " ".join(parts).partition(" ")
            steps.append(Step(name=name.upper(), text=rest.strip(), line=begun))
            begun, parts = 0, []
    return steps


def parse_stages(text: str) -> list[Stage]:
    """Returns the stages in order.

    Raises:
        ValueError: Something stands before the first FROM that is no ARG, or a FROM names an argument without a value.
    """
    stages: list[Stage] = []
    given: dict[str, str] = {}
    for step in parse_steps(text):
        if step.name == "FROM":
            base, *named = step.words()
            stages.append(Stage(name=named[1] if len(named) == 2 else "", base=filled(base, given), steps=()))
        elif stages:
            last = stages[-1]
            stages[-1] = Stage(name=last.name, base=last.base, steps=(*last.steps, step))
        elif step.name == "ARG":
            name, _, value = step.text.partition("=")
            given[name] = value
        else:
            raise ValueError(f"line {step.line}: {step.name} before the first FROM")
    return stages


def filled(text: str, values: dict[str, str]) -> str:
    """Returns a text with `${NAME}` replaced.

    Raises:
        ValueError: A name has no value.
    """

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise ValueError(f"{match[1]} has no value")
        return values[match[1]]

    return re.sub(r"\$\{(\w+)\}", value_of, text)


def needed(stages: list[Stage], target: str) -> list[Stage]:
    """Returns the stages that a target is built from, the target last."""
    by_name = {stage.name: stage for stage in stages if stage.name}
    wanted = by_name[target]
    below = [wanted.base, *(step.flag("from") for step in wanted.of("COPY"))]
    found: list[Stage] = []
    for name in below:
        if name in by_name:
            found += [stage for stage in needed(stages, name) if stage not in found]
    return [*found, wanted]


def ignored(path: str, rules: list[str]) -> bool:
    """Tells whether .dockerignore's rules keep a path, relative to the context, from the builder; the last one counts.

    A rule for a folder holds for what lies in it.
    """
    out = False
    parts = PurePosixPath(path).parts
    ways = ["/".join(parts[: length + 1]) for length in range(len(parts))]
    for rule in rules:
        pattern = rule.removeprefix("!")
        if any(_matches(way, pattern) for way in ways):
            out = not rule.startswith("!")
    return out


def _matches(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatchcase(PurePosixPath(path).name, pattern.removeprefix("**/"))
    # A star ends at a slash.
    theirs, ours = path.split("/"), pattern.split("/")
    return len(theirs) == len(ours) and all(map(fnmatchcase, theirs, ours))


def ignore_rules(text: str) -> list[str]:
    """Returns .dockerignore's rules."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
