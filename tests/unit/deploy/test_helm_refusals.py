"""Values that the Helm chart cannot use are refused by their names, with a remedy; the originals' above all."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.support.documented import ROOT
from tests.support.helm_chart import RefusedError, rendered, values_file

PAGE = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
ORIGINALS = {"batchOptimized": "values-batch-optimized.yaml", "rayServe": "values-ray-serve.yaml"}
UTILISATION = ("targetCPUUtilization", "targetMemoryUtilization", "targetGPUUtilization")


def original(block: str) -> dict[str, Any]:
    """Returns what is in an original's block of values."""
    text = (ROOT / "tests/data/originals" / ORIGINALS[block]).read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)[block]
    return found


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yields the dotted name of every value that is no group."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def at(values: Mapping[str, Any], name: str) -> Any:
    """Returns the value of a dotted name."""
    value: Any = values
    for part in name.split("."):
        value = value[part]
    return value


def changed(values: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Returns values with another one under a dotted name; None takes it away."""
    made = copy.deepcopy(dict(values))
    group = made
    *groups, last = name.split(".")
    for part in groups:
        group = group.setdefault(part, {})
    if value is None:
        del group[last]
    else:
        group[last] = value
    return made


def refusal(values: Mapping[str, Any]) -> str:
    """Returns why values are refused."""
    with pytest.raises(RefusedError) as refused:
        rendered(values)
    return str(refused.value)


def test_an_original_s_block_is_to_be_moved() -> None:
    """As a whole it is refused by its name."""
    for block in ORIGINALS:
        assert f"{block}: write what is in it at the top" in refusal({block: original(block)})


def usable(block: str) -> tuple[dict[str, Any], set[str]]:
    """Returns an original's values without those that are refused, and the names of these."""
    values, refused = original(block), set()
    for name in list(leaves(values)):
        if name in ("env.RAY_ADDRESS", "healthCheck.path") or name.rpartition(".")[2] in UTILISATION:
            refused.add(name)
            values = changed(values, name, None)
    # Refused as well: replaced by what an operator would write.
    for name, value in (("image.tag", "0.1.0"), ("env.MODEL_PATH", None)):
        if name in set(leaves(values)):
            refused.add(name)
            values = changed(values, name, value)
    return values, refused


@pytest.mark.parametrize("block", ORIGINALS)
def test_what_is_refused_of_an_original_is_named_with_a_remedy(block: str) -> None:
    """All of it in one answer, and nothing else."""
    _, refused = usable(block)
    said = refusal(original(block))
    named = {line.partition("- ")[2].partition(":")[0].split(" ")[0] for line in said.splitlines() if "  - " in line}
    assert named == refused


OTHER = {
    "enabled": False,
    "replicaCount": 3,
    "image.repository": "elsewhere/tickserve",
    "image.tag": "0.3.0",
    "image.pullPolicy": "Always",
    "resources.requests.cpu": 3,
    "resources.requests.memory": "3Gi",
    "resources.requests.gpu": 2,
    "resources.limits.cpu": 6,
    "resources.limits.memory": "6Gi",
    "resources.limits.gpu": 2,
    "autoscaling.enabled": False,
    "autoscaling.minReplicas": 1,
    "autoscaling.maxReplicas": 7,
    "config.profile": "off_hours",
    "config.batchSize": 16,
    "config.waitTimeMs": 7,
    "env.MODEL_REGISTRY_PATH": "/elsewhere",
    "env.BATCH_CONFIG_PROFILE": "off_hours",
    "service.type": "LoadBalancer",
    "service.port": 8080,
    "persistence.enabled": False,
    "persistence.existingClaim": "another",
    "persistence.mountPath": "/elsewhere",
    "healthCheck.enabled": False,
    "healthCheck.initialDelaySeconds": 31,
    "healthCheck.periodSeconds": 11,
}


@pytest.mark.parametrize("block", ORIGINALS)
def test_nothing_of_an_original_is_silently_ignored(block: str) -> None:
    """What is not refused counts: another value makes other objects, or is refused."""
    values, _ = usable(block)
    before = stable(values)
    for name in leaves(values):
        other = changed(values, name, OTHER[name])
        if name.startswith("resources.requests.gpu"):
            other = changed(other, "resources.limits.gpu", OTHER[name])
        try:
            after = stable(other)
        except RefusedError as error:
            said = str(error)
        else:
            said = name if after != before else "nothing changed"
        assert name.rpartition(".")[2] in said, name


def stable(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the objects without the secrets, which are other ones each time."""
    return [found for found in rendered(values).objects if found["kind"] != "Secret"]


@pytest.mark.parametrize("block", ORIGINALS)
def test_the_page_has_a_row_for_each_value_of_an_original(block: str) -> None:
    """docs/kubernetes.md says of each whether it is honoured, mapped or refused, and it is so."""
    _, refused = usable(block)
    rows: dict[str, str] = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[1].split(" ")[0].strip(":,") in ("honoured", "mapped", "refused"):
            rows |= dict.fromkeys((name.strip(" `") for name in cells[0].split(",")), cells[1])
    for name in leaves(original(block)):
        assert name in rows, name
        assert rows[name].startswith("refused") == (name in refused), (name, rows[name])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"settings": {"replica_cpus": 2, "host": "::"}}, "settings.host: pods listen"),
        ({"settings": {"replica_cpus": 2, "registry": "/x"}}, "settings.registry: set persistence.mountPath"),
        ({"settings": {"replica_cpus": 2, "replicas": 3}}, "settings.replicas: set replicaCount"),
        ({"settings": {"replica_cpus": 2, "tls": {}}}, "settings.tls: set edge.tlsSecret"),
        ({"settings": {"windows": {"store": "memory"}}}, "settings.windows.store: set redis.mode"),
        ({"settings": {"security": {"keys_file": "/x"}}}, "settings.security.keys_file: set keys.existingSecret"),
        ({"settings": {"autoscaling": {"enabled": True}}}, "settings.autoscaling.enabled: set autoscaling.enabled"),
        ({"edge": {"settings": {"cert": "/x"}}}, "edge.settings.cert: set edge.tlsSecret"),
        ({"settings": {"replica_cpus": 8}}, "settings.replica_cpus 8: no replica fits a worker"),
        ({"settings": {"replica_cpus": 0}}, "settings.replica_cpus: say how many CPUs"),
        ({"settings": {"engine": "cuda"}}, "settings.engine cuda: resources.limits.gpu is 0"),
        ({"resources": {"limits": {"gpu": 1}}}, "resources.requests.gpu: Kubernetes gives out whole GPUs"),
        ({"redis": {"mode": "external"}}, "redis.url: redis.mode external needs it"),
        ({"redis": {"url": "redis://a:1/0"}}, "redis.url: redis.mode is internal"),
        ({"redis": {"mode": "external", "url": "redis://:secret@a:1/0"}}, "redis.existingSecret"),
        ({"redis": {"mode": "external", "url": "redis://a:1/0"}}, "gcsFaultTolerance.redisAddress: name your Redis"),
        ({"redis": {"mode": "none"}}, "redis.mode none: replicas share windows"),
        ({"replicaCount": 1, "redis": {"mode": "none"}}, "gcsFaultTolerance.enabled: it needs a Redis"),
        ({"keys": {"existingSecret": ""}}, "keys.existingSecret: everybody"),
        (
            {
                "keys": {"existingSecret": ""},
                "edge": {"clientCaSecret": "ca", "settings": {"client_certificates": "optional"}},
            },
            "keys.existingSecret: everybody",
        ),
        ({"edge": {"tlsSecret": ""}}, "edge.tlsSecret: the edge needs a certificate"),
        ({"autoscaling": {"enabled": True, "minReplicas": 9, "maxReplicas": 3}}, "autoscaling.minReplicas: must not"),
        ({"replicaCount": 30, "autoscaling": {"enabled": True}}, "replicaCount: autoscaling allows 20 at most"),
        ({"config": {"profile": "off_hours"}, "env": {"BATCH_CONFIG_PROFILE": "legacy"}}, "say it once"),
        ({"config": {"batchSize": 8}, "settings": {"scheduler": {"max_batch_size": 9}}}, "config.batchSize"),
        ({"config": {"waitTimeMs": 8}, "settings": {"scheduler": {"max_queue_delay": 0}}}, "config.waitTimeMs"),
        ({"env": {"MODEL_REGISTRY_PATH": "/other"}}, "env.MODEL_REGISTRY_PATH: the registry is at"),
        ({"env": {"MODEL_PATH": "/models/a.pth"}}, "env.MODEL_PATH: its weights are imported"),
        ({"env": {"RAY_ADDRESS": "ray://ray-head-service:10001"}}, "env.RAY_ADDRESS: KubeRay sets it"),
        ({"extraEnv": [{"name": "TICKSERVE_REPLICAS", "value": "3"}]}, "extraEnv: no replica reads TICKSERVE_REPLICAS"),
        ({"extraEnv": [{"name": "MODEL_PATH", "value": "/m"}]}, "extraEnv: no replica reads MODEL_PATH"),
        ({"image": {"tag": "latest"}}, "image.tag latest: replicas of one service"),
        ({"settings": {"scheduler": {"max_batch_size": 0}}}, "max_batch_size"),
        ({"settings": {"engine": "fast"}}, "engine"),
        ({"redis": {"internal": {"replicas": 2}}}, "replicas"),
        ({"persistence": {"mountPath": "models"}}, "mountPath"),
    ],
)
def test_what_cannot_work_is_refused_by_name(values: dict[str, Any], named: str) -> None:
    """Before anything reaches a cluster."""
    assert named in refusal(values)


def groups(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yields the dotted name of every group of the chart's values."""
    for name, value in values.items():
        free = name in ("nodeSelector", "annotations", "labels")
        if isinstance(value, dict) and not free:
            yield f"{prefix}{name}"
            yield from groups(value, f"{prefix}{name}.")


def test_an_unknown_name_is_refused_wherever_it_stands() -> None:
    """A misspelt value is found at the first look, not in production."""
    assert "unheardOf" in refusal({"unheardOf": 1})
    named = list(groups(values_file("values.yaml")))
    assert {"settings", "edge.settings", "redis.internal.image", "probes.startup"} <= set(named)
    for group in [*named, "settings.scheduler", "settings.scheduler.max_wait", "settings.autoscaling"]:
        assert "unheardOf" in refusal(changed({}, f"{group}.unheardOf", 1)), group


def test_every_value_is_explained() -> None:
    """docs/kubernetes.md has a row for each group of values, and each value of the chart stands in values.yaml."""
    for name in values_file("values.yaml"):
        assert f"| `{name}" in PAGE, name
