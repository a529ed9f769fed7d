"""The Helm chart rendered by Helm's own library, without a cluster, and what of it tests ask for."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import helm_python
import yaml

from scripts.layering import ROOT

CHART = ROOT / "deploy/helm/tickserve"
NAME, NAMESPACE = "prices", "trading"

Object = dict[str, Any]


class RefusedError(Exception):
    """Helm does not render the values; the message is what its user is told."""


@dataclass(frozen=True)
class Pod:
    """A pod's template: of head, worker, edge or redis."""

    part: str
    labels: Mapping[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        """Its containers."""
        found: list[Object] = self.spec["containers"]
        return found

    @property
    def ports(self) -> dict[str, int]:
        """The numbers of all its containers' ports, by name."""
        return {port["name"]: port["containerPort"] for each in self.containers for port in each.get("ports", [])}


@dataclass(frozen=True)
class Release:
    """What a release of the chart consists of."""

    objects: tuple[Object, ...]

    def of(self, kind: str) -> list[Object]:
        """Returns the objects of a kind."""
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str = "") -> Object:
        """Returns the object of a kind whose name ends so."""
        [found] = [each for each in self.of(kind) if each["metadata"]["name"].endswith(name)]
        return found

    @property
    def ray(self) -> Object:
        """The cluster of the RayService."""
        found: Object = self.one("RayService")["spec"]["rayClusterConfig"]
        return found

    @property
    def serve_config(self) -> Object:
        """What Ray Serve is told."""
        found: Object = yaml.safe_load(self.one("RayService")["spec"]["serveConfigV2"])
        return found

    def settings_file(self, name: str = "tickserve.toml") -> str:
        """Returns the text of a settings file."""
        text: str = self.one("ConfigMap", "-configs")["data"][name]
        return text

    def pods(self) -> Iterator[Pod]:
        """Yields the templates of all pods, KubeRay's included."""
        for group in (self.ray["headGroupSpec"], *self.ray["workerGroupSpecs"]):
            yield _pod(group["template"])
        for found in self.of("Deployment") + self.of("StatefulSet"):
            yield _pod(found["spec"]["template"])

    def pod(self, part: str) -> Pod:
        """Returns the template of one kind of pod."""
        [found] = [pod for pod in self.pods() if pod.part == part]
        return found


def rendered(values: Mapping[str, Any] | None = None) -> Release:
    """Returns the release that some values make.

    Raises:
        RefusedError: They make none.
    """
    return _rendered(json.dumps(values or {}, sort_keys=True))


def notes(values: Mapping[str, Any] | None = None) -> str:
    """Returns what Helm tells who installs the release that some values make."""
    with helm_python.Chart.load(CHART) as chart:
        texts = chart.render(dict(values or {}), name=NAME, namespace=NAMESPACE)
    [text] = [text for name, text in texts.items() if name.endswith("NOTES.txt")]
    return text


@cache
def _rendered(values: str) -> Release:
    try:
        with helm_python.Chart.load(CHART) as chart:
            texts = chart.render(json.loads(values), name=NAME, namespace=NAMESPACE)
    except helm_python.HelmError as error:
        raise RefusedError(str(error)) from None
    found = []
    for name, text in texts.items():
        if name.endswith(".yaml"):
            found += [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]
    return Release(tuple(found))


def lint(values: Mapping[str, Any] | None = None) -> list[str]:
    """Returns what `helm lint --strict` says of the chart with some values, but for hints."""
    report = helm_python.lint(CHART, dict(values or {}), strict=True, namespace=NAMESPACE)
    return [*report["errors"], *(each["error"] for each in report["messages"] if each["severity"] > 1)]


def values_file(name: str) -> Object:
    """Returns one of the chart's files of values."""
    found: Object = yaml.safe_load((CHART / name).read_text(encoding="utf-8"))
    return found


def secret(found: Object, key: str) -> str:
    """Returns what a secret holds under a key."""
    return base64.b64decode(found["data"][key], validate=True).decode()


def _pod(template: Object) -> Pod:
    labels = template["metadata"]["labels"]
    return Pod(part=labels["tickserve/part"], labels=labels, spec=template["spec"])
