"""What the Helm chart's objects say of each other is so: pods, ports, secrets, volumes and services that they name."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.helm_chart import NAMESPACE, Pod, Release, rendered
from tests.support.helm_matrix import MATRIX

CASES = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)


def selectors(found: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yields every selector of pods of this release within an object."""
    for name, value in found.items():
        if name in ("podSelector", "labelSelector", "selector") and isinstance(value, dict):
            labels = value.get("matchLabels", value)
            if labels:
                yield labels
        if isinstance(value, dict):
            yield from selectors(value)
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, dict):
                    yield from selectors(each)


@CASES
def test_selectors_find_pods(values: dict[str, Any]) -> None:
    """Whatever selects pods finds some that the release makes, but for the clients' own."""
    release = rendered(values)
    pods = list(release.pods())
    for found in release.objects:
        for labels in selectors({"spec": found.get("spec", {})}):
            if any(name.startswith("tickserve/") for name in labels):
                assert any(labels.items() <= pod.labels.items() for pod in pods), (found["metadata"]["name"], labels)


@CASES
def test_a_controller_makes_the_pods_that_it_selects(values: dict[str, Any]) -> None:
    """Deployment and StatefulSet, and nobody else's pods."""
    release = rendered(values)
    for found in release.of("Deployment") + release.of("StatefulSet"):
        wanted = found["spec"]["selector"]["matchLabels"]
        selected = [pod.part for pod in release.pods() if wanted.items() <= pod.labels.items()]
        assert selected == [found["spec"]["template"]["metadata"]["labels"]["tickserve/part"]]


@CASES
def test_disruption_budgets_hold_all_that_serves(values: dict[str, Any]) -> None:
    """Each budget covers pods of one kind; of workers, edge and Redis with replicas each has one."""
    release = rendered(values)
    covered = []
    for budget in release.of("PodDisruptionBudget"):
        wanted = budget["spec"]["selector"]["matchLabels"]
        [part] = [pod.part for pod in release.pods() if wanted.items() <= pod.labels.items()]
        covered.append(part)
    if values.get("podDisruptionBudget", {}).get("enabled", True):
        expected = {pod.part for pod in release.pods()} - {"head"}
        if all(found["spec"]["replicas"] == 1 for found in release.of("StatefulSet")):
            expected -= {"redis"}
        assert sorted(covered) == sorted(expected)
    else:
        assert covered == []


@CASES
def test_services_lead_to_ports_of_pods(values: dict[str, Any]) -> None:
    """A target port is a name that each selected pod has."""
    release = rendered(values)
    for service in release.of("Service"):
        pods = [pod for pod in release.pods() if service["spec"]["selector"].items() <= pod.labels.items()]
        assert pods
        for port in service["spec"]["ports"]:
            assert all(port["targetPort"] in pod.ports for pod in pods)
    for port in release.one("RayService")["spec"]["serveService"]["spec"]["ports"]:
        # KubeRay takes the ports of these names from the head's container.
        assert port["name"] == port["targetPort"]
        assert port["name"].startswith("serve-")
        assert release.pod("head").ports[port["name"]] == release.pod("worker").ports[port["name"]]


@CASES
def test_ports_agree_with_what_ray_serve_is_told(values: dict[str, Any]) -> None:
    """Container ports are those that HAProxy will listen on."""
    release = rendered(values)
    config = release.serve_config
    for part in ("head", "worker"):
        ports = release.pod(part).ports
        assert ports["serve-http"] == config["http_options"]["port"]
        assert ports["serve-grpc"] == config["grpc_options"]["port"]
    assert config["http_options"]["host"] == "0.0.0.0"


@CASES
def test_network_policies_name_ports_that_are_there(values: dict[str, Any]) -> None:
    """Each port of a rule is one of the pods that the policy is for."""
    release = rendered(values)
    for policy in release.of("NetworkPolicy"):
        wanted = policy["spec"]["podSelector"]["matchLabels"]
        pods = [pod for pod in release.pods() if wanted.items() <= pod.labels.items()]
        assert pods
        for rule in policy["spec"]["ingress"]:
            for port in rule.get("ports", []):
                assert any(port["port"] in pod.ports.values() for pod in pods), port
    if values.get("networkPolicy", {}).get("enabled", True):
        for pod in release.pods():
            policies = [each["spec"]["podSelector"]["matchLabels"] for each in release.of("NetworkPolicy")]
            assert any(wanted.items() <= pod.labels.items() for wanted in policies), f"{pod.part} is open to all"


@CASES
def test_the_pod_monitor_scrapes_a_port_of_the_workers(values: dict[str, Any]) -> None:
    """Under the job's name that rules and dashboard ask for."""
    release = rendered(values)
    for monitor in release.of("PodMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            assert {"action": "replace", "targetLabel": "job", "replacement": "tickserve"} in endpoint["relabelings"]
            for pod in release.pods():
                assert (endpoint["port"] in pod.ports) == (wanted.items() <= pod.labels.items())


@CASES
def test_volumes_are_there_and_used(values: dict[str, Any]) -> None:
    """Every mount names a volume, every volume is mounted, and no two mounts of a container share a place."""
    release = rendered(values)
    for pod in release.pods():
        volumes = {volume["name"] for volume in pod.spec["volumes"]} | set(claims(release, pod))
        mounted = {mount["name"] for container in pod.containers for mount in container["volumeMounts"]}
        assert mounted == volumes
        for container in pod.containers:
            places = [mount["mountPath"] for mount in container["volumeMounts"]]
            assert len(set(places)) == len(places)


def claims(release: Release, pod: Pod) -> list[str]:
    """Returns the volumes that a StatefulSet claims for its pods."""
    if pod.part != "redis":
        return []
    [found] = release.of("StatefulSet")
    return [each["metadata"]["name"] for each in found["spec"]["volumeClaimTemplates"]]


@CASES
def test_secrets_maps_and_claims_are_made_or_given(values: dict[str, Any]) -> None:
    """What pods refer to is in the release, or a name among the values; a key that is asked for is in what is made."""
    release = rendered(values)
    given = {
        *strings(rendered({}).objects[0]),
        *strings(dict(values)),
        "tickserve-keys",
        "tickserve-tls",
        "model-registry-pvc",
    }
    made = {(found["kind"], found["metadata"]["name"]): found for found in release.objects}
    for kind, name, key in references(release):
        if (kind, name) in made:
            assert not key or key in made[kind, name]["data"]
        else:
            assert name in given, (kind, name)
            assert not name.startswith(release.one("RayService")["metadata"]["name"])


def references(release: Release) -> Iterator[tuple[str, str, str]]:
    """Yields what pods and Ray's head refer to: kind, name and key."""
    for pod in release.pods():
        for volume in pod.spec["volumes"]:
            if "secret" in volume:
                yield "Secret", volume["secret"]["secretName"], ""
            if "configMap" in volume:
                yield "ConfigMap", volume["configMap"]["name"], ""
                for item in volume["configMap"].get("items", []):
                    yield "ConfigMap", volume["configMap"]["name"], item["key"]
            if "persistentVolumeClaim" in volume:
                yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], ""
        for container in pod.containers:
            for variable in container.get("env", []):
                if found := variable.get("valueFrom", {}).get("secretKeyRef"):
                    yield "Secret", found["name"], found["key"]
    password = release.ray.get("gcsFaultToleranceOptions", {}).get("redisPassword", {})
    if found := password.get("valueFrom", {}).get("secretKeyRef"):
        yield "Secret", found["name"], found["key"]


def strings(value: Any) -> Iterator[str]:
    """Yields every text within a value."""
    if isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, str):
        yield value


@CASES
def test_files_that_settings_name_are_mounted(values: dict[str, Any]) -> None:
    """Keys, password and registry lie where the replicas are told, on head and workers alike."""
    release = rendered(values)
    [deployment] = release.serve_config["applications"][0]["deployments"]
    told = deployment["user_config"]
    files = [told["security"]["keys_file"], told["redis_password_file"]]
    places = [path.rpartition("/")[0] for path in files if path]
    if values.get("persistence", {}).get("enabled", True):
        places.append(told["registry"])
    if told["model_path"]:
        assert told["model_path"].startswith(told["registry"] + "/")
    for part in ("head", "worker"):
        mounted = {mount["mountPath"]: mount for mount in release.pod(part).containers[0]["volumeMounts"]}
        assert set(places) <= set(mounted)
    assert told["models"]["compiled_cache"].rpartition("/")[0] in mounted


@CASES
def test_the_edge_leads_to_the_service(values: dict[str, Any]) -> None:
    """It is told the name and the ports of the service that KubeRay makes, and shares its secret with the replicas."""
    release = rendered(values)
    service = release.one("RayService")["spec"]["serveService"]
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert service["spec"]["type"] == "ClusterIP"
    if not release.of("Deployment"):
        return
    [container] = release.pod("edge").containers
    host = f"{service['metadata']['name']}.{NAMESPACE}.svc.cluster.local"
    assert f"--upstream-grpc={host}:{ports['serve-grpc']}" in container["args"]
    assert f"--upstream-http={host}:{ports['serve-http']}" in container["args"]
    [secret] = [each["valueFrom"] for each in container["env"] if each["name"] == "TICKSERVE_EDGE_SECRET"]
    for part in ("head", "worker"):
        env = release.pod(part).containers[0]["env"]
        assert {"name": "TICKSERVE_EDGE_SECRET", "valueFrom": secret} in env


@CASES
def test_callers_keep_their_service_when_the_edge_comes_or_goes(values: dict[str, Any]) -> None:
    """It is Helm's in both cases, and of another name than KubeRay's own, which Helm could not take over."""
    named = []
    for enabled in (True, False):
        edge = {**values.get("edge", {}), "enabled": enabled}
        release = rendered({**values, "edge": edge, "allowUnauthenticated": True})
        owner = release.one("RayService")
        [service] = [each for each in release.of("Service") if each["metadata"]["name"] == owner["metadata"]["name"]]
        assert owner["spec"]["serveService"]["metadata"]["name"] not in {
            each["metadata"]["name"] for each in release.of("Service")
        }
        selected = [pod.part for pod in release.pods() if service["spec"]["selector"].items() <= pod.labels.items()]
        assert selected == ["edge" if enabled else "worker"]
        assert service["spec"]["type"] == values.get("service", {}).get("type", "ClusterIP")
        named.append((owner["spec"]["serveService"], [port["port"] for port in service["spec"]["ports"]]))
    assert named[0] == named[1]


@CASES
def test_the_redis_is_where_the_settings_say(values: dict[str, Any]) -> None:
    """Each host of the address is a pod of the chart's own Redis, and Ray's head is told of the same one."""
    release = rendered(values)
    url = release.serve_config["applications"][0]["deployments"][0]["user_config"]["windows"]["redis_url"]
    if not release.of("StatefulSet"):
        assert url == values["redis"].get("url", "")
        return
    [redis] = release.of("StatefulSet")
    name = redis["metadata"]["name"]
    hosts = [f"{name}-{i}.{redis['spec']['serviceName']}.{NAMESPACE}.svc" for i in range(redis["spec"]["replicas"])]
    assert [host for host in hosts if host in url] == hosts
    assert redis["spec"]["serviceName"] in [service["metadata"]["name"] for service in release.of("Service")]
    address = release.ray["gcsFaultToleranceOptions"]["redisAddress"]
    services = [f"{service['metadata']['name']}.{NAMESPACE}.svc" for service in release.of("Service")]
    assert address.rpartition(":")[0] in hosts + services
    [hosts_of_the_script] = [
        each["value"] for each in release.pod("redis").containers[0]["env"] if each["name"] == "HOSTS"
    ]
    assert hosts_of_the_script.split() == hosts
    assert json.dumps(url).count("@") == 0


def test_pods_of_a_kind_keep_apart() -> None:
    """Workers, edges and Redis prefer nodes of their own, or must have them, as the values say."""
    for value, name in (("preferred", "preferredDuring"), ("required", "requiredDuring")):
        release = rendered({"antiAffinity": value})
        for part in ("worker", "edge", "redis"):
            pod = release.pod(part)
            [(kind, terms)] = pod.spec["affinity"]["podAntiAffinity"].items()
            assert kind.startswith(name)
            assert next(selectors({"terms": terms})).items() <= pod.labels.items()
    assert "affinity" not in rendered({"antiAffinity": "none"}).pod("worker").spec
