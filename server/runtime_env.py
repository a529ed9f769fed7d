"""The environment that makes Ray Serve answer gRPC without a Python proxy hop.

The one place that names Ray's variables. They are constants that Ray reads when it is first imported, in every process
of the cluster, so the launcher applies them before anything imports Ray, the manifests copy them, and a replica refuses
to start without them. Must not import Ray.
"""

from __future__ import annotations

import os
import resource
import secrets
from collections.abc import Mapping, MutableMapping

from server.config.settings import Settings

# Of one machine's proxy; each costs it some kilobytes.
_MOST_CONNECTIONS = 20_000
# A connection on either side, and for every fourth one a pipe to splice through; a few are left over.
_DESCRIPTORS_EACH = 3
_OTHER_DESCRIPTORS = 1_000


class RuntimeEnvironmentError(RuntimeError):
    """The process was started without the environment that direct ingress needs."""


def ray_environment(settings: Settings) -> dict[str, str]:
    """Returns the variables to set before Ray is imported anywhere.

    Args:
        settings: The server's settings; limits on streams and messages follow them.
    """
    streams = str(settings.max_streams_per_connection)
    variables = {
        # HAProxy in front, the replicas' own gRPC servers behind it: no Python proxy on the path.
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # User code, gRPC server and health checks share one loop: context variables set at the seam reach the service.
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # HAProxy allows 100 streams a connection by default; the 101st would hang without a word.
        "RAY_SERVE_HAPROXY_H2_FE_MAX_CONCURRENT_STREAMS": streams,
        # To a replica each call has a connection to itself while it lasts; the next one uses it again. On a shared one
        # streams whose clients never read fill the connection's flow-control window, and calls of others wait for ever.
        "RAY_SERVE_HAPROXY_H2_BE_MAX_CONCURRENT_STREAMS": "1",
        # Every scale or deploy reloads HAProxy; the old process cuts its streams after this time.
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "3600",
        # Ports of replaced replicas need no hour of rest: our replicas all serve the same application.
        "RAY_SERVE_PORT_QUARANTINE_S": "30",
        # The transport's limit; the server's own, typed one lies below it.
        "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(settings.transport_max_message_bytes),
        # Replicas of one machine share its HAProxy; two threads are enough in front of a model that costs milliseconds.
        "RAY_SERVE_HAPROXY_NBTHREAD": "2",
        # Replicas that take other live settings leave HAProxy's list, all at once, and are back in a fraction of a
        # second. What changes within this time is one change: otherwise calls find nobody in between.
        "RAY_SERVE_HAPROXY_BROADCAST_COALESCE_S": "1",
        # HAProxy learns of a leaving replica within 2 s; the default of 30 s would make every stop take as long.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "3",
        # Throughput mode keeps a thousand log lines in memory; a replica that ends itself would take its reasons along.
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
        # Ray runs its workers, and so our replicas and HAProxy, at niceness 15: any other process would starve them.
        "RAY_worker_niceness": "0",
        # PyTorch's threads wait for each other asleep, not spinning: a spinning one keeps the other from its core.
        "OMP_WAIT_POLICY": "PASSIVE",
        # Whoever reaches Ray's own ports can run code: they ask for a token.
        "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray warns about a future default for fractional GPUs; it concerns nothing here.
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # A HAProxy that died is replaced after three failed looks: in seconds, not in half a minute.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",
        # A node between its last old replica and its first new one keeps its HAProxy, which sends calls to other nodes.
        # By default it goes after 30 s, less than a replica's start may take, and the node's port refuses calls.
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "300",
    }
    if settings.autoscaling.fewest_replicas(settings.replicas) > 1:
        # A replica that hangs gets no more calls after 2 s (an interval, two checks that each may take as long, a quick
        # interval between them); by default after 10 s and more. With no other replica to send calls to it gains
        # nothing, and a slow answer beats none.
        variables["RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER"] = "500ms"
    return variables


def apply(settings: Settings, environment: MutableMapping[str, str] = os.environ) -> dict[str, str]:
    """Sets the variables that the environment does not set yet, and returns those now in force.

    An operator's own value wins: it is how a limit is tuned on one machine.
    """
    wanted = ray_environment(settings)
    for name, value in wanted.items():
        environment.setdefault(name, value)
    return {name: environment[name] for name in wanted}


def apply_local(environment: MutableMapping[str, str]) -> None:
    """Sets what only a Ray of our own on this one machine may have: never put it into a cluster's environment.

    Ray calls the machine 127.0.0.1 then, as it does where the variable's name says, and so its own servers listen on
    loopback alone. Its token is new at each start and in no file, unless the operator has set one, for `ray` and
    `serve` commands beside the service.
    """
    environment.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    # Above HAProxy's 4,096 nobody else gets in, and a connection that says nothing may stay for an hour. HAProxy does
    # not start if descriptors do not last for as many.
    environment.setdefault("RAY_SERVE_HAPROXY_MAXCONN", str(_most_connections()))
    if not environment.get("RAY_AUTH_TOKEN") and not environment.get("RAY_AUTH_TOKEN_PATH"):
        environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _most_connections() -> int:
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if descriptors == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(100, min(_MOST_CONNECTIONS, (descriptors - _OTHER_DESCRIPTORS) // _DESCRIPTORS_EACH))


def check(environment: Mapping[str, str] = os.environ) -> None:
    """Refuses to go on in a process that would not serve direct ingress.

    Raises:
        RuntimeEnvironmentError: A variable that direct ingress needs is missing; the message says how to set it.
    """
    missing = [
        name for name in ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_THROUGHPUT_OPTIMIZED") if environment.get(name) != "1"
    ]
    if missing:
        raise RuntimeEnvironmentError(
            f"{', '.join(missing)} must be 1 in every process of the Ray cluster, or requests would pass through "
            "Ray Serve's Python proxy and lose their deadlines. Start with `tickserve serve`, or run "
            '`eval "$(tickserve env)"` before `ray start`.'
        )
