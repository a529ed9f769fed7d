"""Laws of the live settings: every setting is live or not, on purpose, and a change is seen by whoever reads next."""

from batching import PriorityClass
from server.config.live_settings import LIVE_FIELDS, LiveSettings
from server.config.profiles import Profile
from server.config.scheduler_settings import ClassTimeouts
from server.config.settings import Settings

STATIC_FIELDS = {
    "host", "grpc_port", "http_port", "reflection", "access_log", "registry", "model_path", "default_model", "engine",
    "precision", "compile", "engine_threads", "replicas", "replica_cpus", "max_surge_percent",
    "transport_max_message_bytes", "max_streams_per_connection", "stream_max_age", "stream_drain_grace", "windows",
    "decisions", "console", "metrics", "security", "tls", "halts", "redis_password_file", "autoscaling",
}  # fmt: skip


def test_every_setting_is_live_or_static() -> None:
    """None is both or neither: a new one must be thought about."""
    assert set(Settings.model_fields) == LIVE_FIELDS | STATIC_FIELDS
    assert not LIVE_FIELDS & STATIC_FIELDS


def test_all_of_a_profile_but_compile_is_live() -> None:
    """So a replica need not be replaced at the opening bell."""
    assert set(Profile.model_fields) - LIVE_FIELDS == {"compile"}


def test_both_halves_make_the_whole_again() -> None:
    """Settings that travel in two parts arrive as they were."""
    settings = Settings(profile="stress_test", grpc_port=1234, max_symbols=7)
    live = settings.model_dump(mode="json", include=set(LIVE_FIELDS))
    static = settings.model_dump(mode="json", exclude=set(LIVE_FIELDS))
    assert Settings(**static, **live) == settings


def test_a_change_is_in_force_for_whoever_reads_next() -> None:
    """Limits and deadlines change together."""
    live = LiveSettings(Settings())
    asked = {"received_at": 100.0, "rpc_deadline": None, "priority": PriorityClass.STANDARD}
    assert live.deadlines.deadline(**asked, timeout=None) == 101.0  # type: ignore[arg-type]
    live.change(Settings(max_timeout=40, default_timeouts=ClassTimeouts(standard=7.0), max_symbols=3))
    assert live.current.max_symbols == 3
    assert live.deadlines.deadline(**asked, timeout=None) == 107.0  # type: ignore[arg-type]
    assert live.deadlines.deadline(**asked, timeout=1000.0) == 140.0  # type: ignore[arg-type]
