"""Laws of the runtime environment: set before Ray, the operator's word stands, and nothing runs without it."""

import resource

import pytest

from server import runtime_env
from server.config.settings import Settings

NEEDED = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}


def test_apply_sets_what_check_wants() -> None:
    """An empty environment becomes one in which direct ingress works."""
    environment: dict[str, str] = {}
    in_force = runtime_env.apply(Settings(), environment)
    assert in_force == environment
    runtime_env.check(environment)


def test_the_limits_follow_the_settings() -> None:
    """Streams and message sizes are those of the server's own settings."""
    variables = runtime_env.ray_environment(
        Settings(max_streams_per_connection=777, transport_max_message_bytes=8_000_000)
    )
    assert variables["RAY_SERVE_HAPROXY_H2_FE_MAX_CONCURRENT_STREAMS"] == "777"
    assert variables["RAY_SERVE_GRPC_MAX_MESSAGE_SIZE"] == "8000000"


def test_a_hanging_replica_is_left_out_where_there_is_another() -> None:
    """Quick checks of the proxy's take calls elsewhere; where there is no elsewhere, they would only refuse."""
    name = "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER"
    pair = Settings.model_validate({"replicas": 2, "windows": {"allow_split": True}})
    assert runtime_env.ray_environment(pair)[name] == "500ms"
    assert name not in runtime_env.ray_environment(Settings())
    for least, quick in ((1, False), (2, True)):
        scale = {"enabled": True, "min_replicas": least, "resources": "small"}
        scaled = Settings.model_validate({"autoscaling": scale, "windows": {"allow_split": True}})
        assert (name in runtime_env.ray_environment(scaled)) == quick


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [(1_000_000, "20000"), (resource.RLIM_INFINITY, "20000"), (13_000, "4000"), (64, "100")],
)
def test_the_proxy_takes_as_many_connections_as_descriptors_last_for(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, connections: str
) -> None:
    """A few thousand silent connections must not keep everybody else out; above the limit it would not start."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, descriptors))
    environment: dict[str, str] = {}
    runtime_env.apply_local(environment)
    assert environment["RAY_SERVE_HAPROXY_MAXCONN"] == connections


def test_an_operators_value_wins() -> None:
    """What is already set stays, is told as in force, and the rest is filled in."""
    environment = {"RAY_SERVE_HAPROXY_NBTHREAD": "8", "HOME": "/"}
    in_force = runtime_env.apply(Settings(), environment)
    assert in_force["RAY_SERVE_HAPROXY_NBTHREAD"] == environment["RAY_SERVE_HAPROXY_NBTHREAD"] == "8"
    assert "HOME" not in in_force
    assert environment.items() >= NEEDED.items()


@pytest.mark.parametrize("name", sorted(NEEDED))
@pytest.mark.parametrize("value", [None, "", "0", "true"])
def test_check_refuses_a_process_without_direct_ingress(name: str, value: str | None) -> None:
    """The missing variable and the remedy are named, and only that one."""
    environment = {key: "1" for key in NEEDED if key != name} | ({} if value is None else {name: value})
    with pytest.raises(runtime_env.RuntimeEnvironmentError) as caught:
        runtime_env.check(environment)
    message = str(caught.value)
    assert name in message
    assert "tickserve env" in message
    assert all(other not in message for other in NEEDED if other != name)


def test_ray_asks_for_a_token() -> None:
    """On a cluster, too, where `tickserve env` tells of it; the token itself is not in it."""
    environment = runtime_env.ray_environment(Settings())
    assert environment["RAY_AUTH_MODE"] == "token"
    assert "RAY_AUTH_TOKEN" not in environment
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in environment


def test_a_ray_of_our_own_is_alone() -> None:
    """It stays on loopback, and its token is new at each start."""
    first: dict[str, str] = {}
    second: dict[str, str] = {}
    runtime_env.apply_local(first)
    runtime_env.apply_local(second)
    assert first["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_an_operators_token_stands(name: str) -> None:
    """It is how commands beside the service reach its Ray."""
    environment = {name: "mine"}
    runtime_env.apply_local(environment)
    assert {key: value for key, value in environment.items() if "TOKEN" in key} == {name: "mine"}
