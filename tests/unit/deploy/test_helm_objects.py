"""A cluster would take what the Helm chart makes: Helm's own linter, Kubernetes' schemas and KubeRay's definition."""

import re
from typing import Any

import pytest

from server.config.settings import Settings
from server.edge.listeners import listeners
from tests.support.documented import ROOT
from tests.support.helm_chart import Pod, lint, notes, rendered, secret
from tests.support.helm_matrix import MATRIX
from tests.support.kubernetes_schemas import UNKNOWN, faults

CASES = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)


@CASES
def test_helm_finds_nothing_wrong(values: dict[str, Any]) -> None:
    """`helm lint --strict` is silent."""
    assert lint(values) == []


@CASES
def test_kubernetes_and_kuberay_would_take_it(values: dict[str, Any]) -> None:
    """Every object fits its schema, with no field that the schema does not know."""
    objects = rendered(values).objects
    assert {found["kind"] for found in objects} >= {"RayService", "ConfigMap"}
    assert [fault for found in objects for fault in faults(found)] == []


def test_the_schemas_find_what_is_wrong() -> None:
    """A misspelt field is found at any depth, a wrong type as well: else the test above would prove nothing."""
    release = rendered(MATRIX["monitored"])
    for kind in {found["kind"] for found in release.objects} - set(UNKNOWN):
        found = release.of(kind)[0]
        assert faults(found | {"specc": {}}), kind
    service = release.one("RayService")
    pod = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]
    for wrong in ({"replicas": "two"}, {"replicaz": 2}, {"template": {**pod, "spec": {**pod["spec"], "volumez": []}}}):
        group = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0] | wrong
        cluster = service["spec"]["rayClusterConfig"] | {"workerGroupSpecs": [group]}
        assert faults(service | {"spec": service["spec"] | {"rayClusterConfig": cluster}}), wrong


@CASES
def test_names_are_a_cluster_s_and_told_apart(values: dict[str, Any]) -> None:
    """No two objects of a kind share a name; KubeRay takes 47 characters of a RayService's."""
    release = rendered(values)
    names = [(found["kind"], found["metadata"]["name"]) for found in release.objects]
    assert len(set(names)) == len(names)
    assert len(release.one("RayService")["metadata"]["name"]) <= 47
    assert all(len(name) <= 63 for _, name in names)


@CASES
def test_pods_have_no_privilege(values: dict[str, Any]) -> None:
    """Not root, no capability, a file system that cannot be written, and a version of the image that is named."""
    for pod in rendered(values).pods():
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"]
        assert security["runAsUser"] == 10001
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for host in ("hostNetwork", "hostPID", "hostIPC"):
            assert host not in pod.spec
        assert not any("hostPath" in volume for volume in pod.spec["volumes"])
        for container in pod.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            _, _, tag = container["image"].partition(":")
            assert tag
            assert tag != "latest"
            assert {"requests", "limits"} <= container["resources"].keys()


def test_what_is_written_to_can_be_written() -> None:
    """The folders of docs/supply-chain.md are volumes of their own; /tmp in every pod."""
    for pod in rendered().pods():
        for container in pod.containers:
            writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            wanted = {"/tmp"}
            if pod.part in ("head", "worker"):
                wanted |= {"/dev/shm", "/var/cache/tickserve", "/var/lib/tickserve"}
            assert wanted <= writable


def test_no_secret_is_in_the_open() -> None:
    """Passwords and the edge's secret are made, long, in secrets alone, and other ones each time."""
    release = rendered()
    made = [
        secret(release.one("Secret", "-edge"), "edge-secret"),
        secret(release.one("Secret", "-redis"), "redis-password"),
    ]
    assert all(len(each) >= 32 for each in made)
    assert made[0] != made[1]
    rest = str([found for found in release.objects if found["kind"] != "Secret"])
    assert not any(each in rest for each in made)


@CASES
def test_probes_ask_what_is_there_and_restart_nothing_that_drains(values: dict[str, Any]) -> None:
    """Ports of probes exist. Liveness asks Ray's agent: a drain, or a worker without a replica, needs no new pod.

    The head's readiness does not wait for the service, for the service waits for the head.
    """
    for pod in rendered(values).pods():
        for container in pod.containers:
            for name in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container.get(name, {})
                for kind in ("httpGet", "tcpSocket"):
                    if kind in probe:
                        assert probe[kind]["port"] in pod.ports
                if "grpc" in probe:
                    assert probe["grpc"]["port"] == pod.ports["serve-grpc"]
                    assert probe["grpc"]["service"] == "tickserve.v1.PredictionService"
                    assert (pod.part, name) == ("worker", "readinessProbe")
    worker, head = rendered(values).pod("worker"), rendered(values).pod("head")
    assert "grpc" in worker.containers[0]["readinessProbe"]
    assert "httpGet" in head.containers[0]["readinessProbe"]


def test_probes_have_the_originals_timings() -> None:
    """By default those of the original's manifests; its values' healthCheck changes readiness.

    Readiness is asked more often, and given up after the same time, whether nobody answers or answers are late.
    """
    [container] = rendered().pod("worker").containers
    times = {
        "startupProbe": {"initialDelaySeconds": 10, "periodSeconds": 5, "failureThreshold": 30},
        "readinessProbe": {"initialDelaySeconds": 30},
        "livenessProbe": {"initialDelaySeconds": 60, "periodSeconds": 30, "timeoutSeconds": 10},
    }
    for name, wanted in times.items():
        assert container[name].items() >= wanted.items()
    assert tolerance(container["readinessProbe"]) == 3 * 10
    [container] = rendered(MATRIX["original-batch"]).pod("worker").containers
    assert container["readinessProbe"]["initialDelaySeconds"] == 35
    assert tolerance(container["readinessProbe"]) == 3 * 12


def tolerance(probe: dict[str, Any]) -> int:
    """Returns for how many seconds a ready pod may fail; KubeRay's switch leaves no more than 2 between two looks."""
    assert probe["timeoutSeconds"] <= probe["periodSeconds"] <= 2
    return int(probe["periodSeconds"] * probe["failureThreshold"])


@CASES
def test_replicas_find_room(values: dict[str, Any]) -> None:
    """The workers have the CPUs for all replicas and the surge of an update, at the least and at the most."""
    release = rendered(values)
    [deployment] = release.serve_config["applications"][0]["deployments"]
    [group] = release.ray["workerGroupSpecs"]
    [container] = release.pod("worker").containers
    limits = container["resources"]["limits"]
    options = deployment["ray_actor_options"]
    each = int(int(limits["cpu"]) // options["num_cpus"])
    if "num_gpus" in options:
        each = min(each, int(limits["nvidia.com/gpu"] // options["num_gpus"]))
    scale = deployment.get("autoscaling_config", {})
    bounds = [scale.get(name, deployment.get("num_replicas")) for name in ("min_replicas", "max_replicas")]
    for replicas, pods in zip(bounds, (group["minReplicas"], group["maxReplicas"]), strict=True):
        assert replicas * (1 + deployment["max_surge_percent"] / 100) <= pods * each
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert release.ray["enableInTreeAutoscaling"] == ("autoscaling_config" in deployment)
    assert release.ray["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}


def test_ray_asks_for_a_token_that_the_operator_knows() -> None:
    """RAY_AUTH_MODE alone would lock KubeRay out; with authOptions it makes the token and deploys with it."""
    release = rendered()
    assert release.ray["authOptions"] == {"mode": "token"}
    for part in ("head", "worker"):
        assert {"name": "RAY_AUTH_MODE", "value": "token"} in release.pod(part).containers[0]["env"]


def test_kuberay_s_own_labels_are_left_alone() -> None:
    """KubeRay finds the head by its own app.kubernetes.io/name: with another, its service would have no pod."""
    release = rendered()
    for part in ("head", "worker"):
        assert not [name for name in release.pod(part).labels if name.startswith(("app.kubernetes.io/", "ray.io/"))]


def test_two_clusters_of_an_upgrade_keep_their_states_apart() -> None:
    """While a new cluster starts beside the old one, both keep Ray's state in one Redis: by the operator's names."""
    for values in MATRIX.values():
        options = rendered(values).ray.get("gcsFaultToleranceOptions", {})
        assert "externalStorageNamespace" not in options


def test_who_installs_is_told_what_to_set() -> None:
    """Secrets that another render makes anew, and the namespace of an operator whom the policies would shut out."""
    said = notes()
    assert "set edge.existingSecret and redis.existingSecret" in said
    assert "networkPolicy.operator" in said
    own = {"edge": {"existingSecret": "edge"}, "redis": {"existingSecret": "redis"}}
    assert "existingSecret" not in notes({**own, "networkPolicy": {"enabled": False}})
    assert "networkPolicy" not in notes({**own, "networkPolicy": {"enabled": False}})


def test_with_named_secrets_every_render_is_the_same() -> None:
    """As Argo CD needs it: it asks no cluster what was made before."""
    own = {"edge": {"existingSecret": "edge"}, "redis": {"existingSecret": "redis"}}
    assert rendered(own).of("Secret") == []


def test_the_page_and_the_schema_are_of_one_kuberay() -> None:
    """What the page says of the operator was read in the version that the definition of RayService is from."""
    [commit] = re.findall(r"commit\s([0-9a-f]{40})\b", (ROOT / "tests/data/kuberay/README.md").read_text("utf-8"))
    [short] = re.findall(r"\bcommit ([0-9a-f]+)\b", (ROOT / "docs/kubernetes.md").read_text("utf-8"))
    assert commit.startswith(short)


def listened() -> set[int]:
    """Returns the ports which nobody outside the cluster has business with, the lowest of each range."""
    rows = listeners(Settings(), {})
    return {row.first for row in rows if row.first and row.opener != "edge"} - {8000, 9000}


@CASES
def test_only_those_reach_a_port_who_must(values: dict[str, Any]) -> None:
    """Beyond Ray's pods only the service's ports, the metrics and the dashboard's are open, each to its own."""
    release = rendered(values)
    policies = release.of("NetworkPolicy")
    if not values.get("networkPolicy", {}).get("enabled", True):
        assert policies == []
        return
    for pod in release.pods():
        if pod.part not in ("head", "worker"):
            continue
        open_ports = set()
        for policy in policies:
            if _selects(policy["spec"]["podSelector"], pod):
                for rule in policy["spec"]["ingress"]:
                    if not _from_ray(rule):
                        assert rule["ports"], "a rule without ports opens all of them"
                        open_ports |= {port["port"] for port in rule["ports"]}
        expected = {pod.ports["serve-grpc"], pod.ports["serve-http"]}
        expected |= {8265} if pod.part == "head" else set()
        [metrics] = [
            found["user_config"]["metrics"] for found in release.serve_config["applications"][0]["deployments"]
        ]
        expected |= {metrics["port"]} if metrics["enabled"] else set()
        assert open_ports == expected
        assert not open_ports & (listened() - {9464, 9500})


def _selects(selector: dict[str, Any], pod: Pod) -> bool:
    return bool(selector["matchLabels"].items() <= pod.labels.items())


def _from_ray(rule: dict[str, Any]) -> bool:
    peers = rule.get("from", [{}])
    return all(peer.get("podSelector", {}).get("matchLabels", {}).get("tickserve/ray") == "true" for peer in peers)
