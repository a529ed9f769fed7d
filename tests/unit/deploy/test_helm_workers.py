"""The Helm chart's workers: a GPU each, what a drain may take away, and what KubeRay sees of a change."""

import copy
from typing import Any

import pytest

from tests.support.helm_chart import rendered
from tests.support.helm_matrix import MATRIX

CASES = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)


def test_gpus_are_asked_for_where_the_engine_needs_them() -> None:
    """Workers of values-gpu.yaml have one each, for one replica alone; no pod of the others has any."""
    release = rendered(MATRIX["gpu"])
    [deployment] = release.serve_config["applications"][0]["deployments"]
    assert deployment["ray_actor_options"]["num_gpus"] == 1
    assert release.pod("worker").containers[0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert release.ray["workerGroupSpecs"][0]["replicas"] == deployment["num_replicas"]
    assert "nvidia.com" not in str(list(rendered(MATRIX["cpu"]).pods()))


@CASES
def test_a_worker_can_always_be_drained(values: dict[str, Any]) -> None:
    """One of those with replicas may go, and those without at any time; what is counted needs no owner that says it.

    Kubernetes asks the owner of pods for their number where a budget says maxUnavailable; a RayCluster knows no answer.
    """
    release = rendered(values)
    owned = [each["spec"]["selector"]["matchLabels"] for each in release.of("Deployment") + release.of("StatefulSet")]
    [group] = release.ray["workerGroupSpecs"]
    [deployment] = release.serve_config["applications"][0]["deployments"]
    replicas = deployment.get("num_replicas") or deployment["autoscaling_config"]["min_replicas"]
    for budget in release.of("PodDisruptionBudget"):
        spec = budget["spec"]
        if spec["selector"]["matchLabels"] in owned:
            assert spec["maxUnavailable"] == 1
            continue
        ready = min(group["minReplicas"], replicas)
        assert "maxUnavailable" not in spec
        assert spec["minAvailable"] == ready - 1
        assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize(("away", "kept"), [(0, 4), (1, 3), (3, 1), (9, 0), ("25%", 3), ("30%", 2), ("100%", 0)])
def test_a_budget_of_workers_leaves_what_the_value_says(away: int | str, kept: int) -> None:
    """Of four replicas in a pod each and the surge's pods; percentages are rounded as Kubernetes does."""
    values = {"replicaCount": 4, "settings": {"replica_cpus": 4}, "podDisruptionBudget": {"maxUnavailable": away}}
    release = rendered(values)
    assert release.ray["workerGroupSpecs"][0]["replicas"] > 4
    assert release.one("PodDisruptionBudget", "-worker")["spec"]["minAvailable"] == kept


def compared(values: dict[str, Any]) -> dict[str, Any]:
    """Returns a cluster as KubeRay compares it with the running one (GenerateHashWithoutReplicasAndWorkersToDelete)."""
    cluster = copy.deepcopy(rendered(values).ray)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        for name in ("replicas", "minReplicas", "maxReplicas"):
            group.pop(name, None)
        group["template"]["spec"].pop("tolerations", None)
    return cluster


SCALED: dict[str, Any] = {"autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 12}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"replicaCount": 5}),
        ({}, {"workers": {"count": 7}}),
        (SCALED, {"autoscaling": {**SCALED["autoscaling"], "maxReplicas": 30}}),
        (SCALED, {"autoscaling": {**SCALED["autoscaling"], "minReplicas": 8}}),
        ({}, {"workers": {"tolerations": [{"operator": "Exists"}]}}),
        ({}, {"head": {"tolerations": [{"operator": "Exists"}]}}),
    ],
)
def test_kuberay_sees_what_needs_other_pods(before: dict[str, Any], after: dict[str, Any]) -> None:
    """It leaves numbers of pods and tolerations out of its comparison: they would never reach a running cluster."""
    assert compared(before) != compared(after)


def test_what_needs_no_other_pods_starts_no_new_cluster() -> None:
    """More replicas in pods that are there, or where Ray's autoscaler adds pods within its bounds."""
    room = {"workers": {"count": 4}}
    assert compared(room) == compared({**room, "replicaCount": 4})
    assert compared(SCALED) == compared({**SCALED, "replicaCount": 6})
