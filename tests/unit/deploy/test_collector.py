"""The OpenTelemetry collector's configuration: no collector is at hand, so its structure is held to its rules here."""

from tests.support.deployed import DEPLOY, read_yaml

CONFIG = read_yaml(DEPLOY / "otel/collector.yml")
# Of the core distribution, as far as traces over OTLP need them.
CORE = {"receivers": {"otlp"}, "processors": {"memory_limiter", "batch"}, "exporters": {"otlp", "debug"}}


def test_every_part_is_of_the_core_distribution() -> None:
    """`otelcol` refuses to start with a component that it was not built with."""
    for kind, known in CORE.items():
        assert {name.partition("/")[0] for name in CONFIG[kind]} <= known


def test_pipelines_use_what_is_configured_and_all_of_it() -> None:
    """A pipeline that names an unknown part does not start; a part in no pipeline does nothing."""
    for kind in CORE:
        used = {name for pipeline in CONFIG["service"]["pipelines"].values() for name in pipeline[kind]}
        assert used == CONFIG[kind].keys()


def test_memory_is_bounded_first_and_batches_are_made_last() -> None:
    """What is refused must be refused before it costs memory; batches are made of what is left."""
    assert [pipeline["processors"] for pipeline in CONFIG["service"]["pipelines"].values()] == [
        ["memory_limiter", "batch"]
    ]
    limiter, batch = CONFIG["processors"]["memory_limiter"], CONFIG["processors"]["batch"]
    assert 0 < limiter["spike_limit_mib"] < limiter["limit_mib"]
    assert 0 < batch["send_batch_size"] <= batch["send_batch_max_size"]


def test_it_listens_on_loopback_where_tickserve_sends() -> None:
    """Spans are accepted from this machine alone, on OTLP's own port."""
    assert CONFIG["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] == "127.0.0.1:4317"
