"""Laws of the runtime environment: set before Ray, the operator's word stands, and nothing runs without it."""

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
