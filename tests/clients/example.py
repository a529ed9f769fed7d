"""One of the example programs: how it is called, and what its lines say."""

import os
import re
import shlex
import subprocess
from dataclasses import dataclass

from scripts.layering import ROOT

COMMANDS = {
    "go": ["build/clients/go/client"],
    "node": ["node", "clients/node/dist/src/main.js"],
    "java": ["build/clients/java/client"],
    "cpp": ["build/clients/cpp/client"],
}
"""How each language's program is started, from the root of the repository."""

WITHOUT_TLS = ("java",)
"""Debian's netty does not agree on HTTP/2 over the JDK's TLS (clients/java/README.md)."""

SERVICE_CONFIG = "clients/service_config.json"
# A Java machine that starts beside others is slow; no test wants to fail by it.
TIMEOUT = 120

Line = dict[str, str]
_PAIR = re.compile(r"(\S+?)=(\"(?:[^\"\\]|\\.)*\"|\S*)")


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    code: int
    lines: list[Line]
    errors: list[Line]
    text: str

    def named(self, name: str) -> list[Line]:
        """Returns the lines of a name."""
        return [line for line in self.lines if line["name"] == name]

    def only(self, name: str) -> Line:
        """Returns the one line of a name."""
        [line] = self.named(name)
        return line


@dataclass(frozen=True)
class Example:
    """A built program and whom it calls."""

    language: str
    target: str
    key: str

    @property
    def symbol(self) -> str:
        """A symbol that no other program streams."""
        return f"EXAMPLE-{self.language.upper()}"

    def run(self, *arguments: str, target: str = "", key: str | None = None, timeout: str = "20") -> Outcome:
        """Runs the program to its end; an empty key is none."""
        values = {
            "target": target or self.target,
            "service-config": SERVICE_CONFIG,
            "symbol": self.symbol,
            "timeout": timeout,
        }
        command = [*COMMANDS[self.language], *(f"--{name}={value}" for name, value in values.items()), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TICKSERVE_")}
        environment["TICKSERVE_API_KEY"] = self.key if key is None else key
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        text = f"$ {shlex.join(command)}\n{done.stdout}{done.stderr}"
        return Outcome(done.returncode, _parsed(done.stdout), _parsed(done.stderr), text)


def _parsed(output: str) -> list[Line]:
    """Reads lines of `name key=value ...`; a quoted value is left as it is."""
    found = []
    for line in output.splitlines():
        name, _, rest = line.partition(" ")
        found.append({"name": name} | {match[1]: match[2] for match in _PAIR.finditer(rest)})
    return found
