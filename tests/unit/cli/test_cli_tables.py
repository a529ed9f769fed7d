"""`tickserve models`, `stats` and `health` show what the service said."""

from itertools import islice

import grpc
import pytest
from grpc_health.v1 import health_pb2

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import FakeService, rich_status
from tests.unit.client.fake_statistics import milliseconds, replica
from tickserve.cli.stats import samples
from tickserve.v1 import model_service_pb2, prediction_pb2


def test_models_are_listed_with_their_engine_and_why(run: Run) -> None:
    """What answers, and the reason for it, is on the first screen."""
    outcome = run("models")
    assert outcome.code == 0
    for shown in ("eurusd:3 (default)", "SERVING", "openvino bf16 cpu", "fastest on this processor", "1 h", "gbpusd:1"):
        assert shown in outcome.out
    assert "accuracy" not in outcome.out


def test_verbose_models_have_metrics(run: Run) -> None:
    """Metrics stand beside their baselines."""
    outcome = run("models", "--verbose")
    assert "accuracy_baseline" in outcome.out
    assert "ab" * 32 in outcome.out


def test_models_in_json(run: Run) -> None:
    """Programs get the list."""
    first, second = run("models", "--json").json
    assert (first["version"]["name"], first["state"], first["engine"]["name"]) == ("eurusd", "SERVING", "openvino")
    assert second["engine"] is None


def test_stats_show_queues_and_outcomes(run: Run) -> None:
    """How busy it is, at a glance."""
    outcome = run("stats")
    assert outcome.code == 0
    for shown in ("replica-1", "real_time", "shadow", "5.00 ms", "QUEUE_FULL", "5,678", "batches 1,234", "up 90 s"):
        assert shown in outcome.out
    for shown in ("profile low_latency", "promoted 77"):
        assert shown in outcome.out


def test_stats_show_how_many_missed_their_deadline(run: Run) -> None:
    """Misses are a part of the admitted: the rare does not read as never, nor no request as no miss."""
    rows = {words[0]: " ".join(words[1:]) for line in run("stats").out.splitlines() if (words := line.split())}
    assert rows["real_time"] == "2 5.00 ms 3,990 10 0.25 %"
    assert rows["standard"] == "0 0.00 ms 99,999 1 < 0.01 %"
    assert rows["background"] == "0 0.00 ms 0 0 -"


def test_stats_show_what_batches_cost(run: Run) -> None:
    """Each model has its sizes, with median and upper quantile, beside the limit in force."""
    outcome = run("stats")
    assert "eurusd:3, batch limit 24" in outcome.out
    shown = [" ".join(line.split()) for line in outcome.out.splitlines()]
    for row in ("1 1.25 ms 1.50 ms", "8 3.75 ms 4.50 ms", "32 11.00 ms 13.25 ms"):
        assert any(line.endswith(row) for line in shown)


def test_stats_show_what_the_cache_saved(run: Run, service: FakeService) -> None:
    """How much is kept, how often it was found, and that Redis is gone; nothing of Redis where there is none."""

    def shown() -> list[str]:
        return [" ".join(line.split()) for line in run("stats").out.splitlines()]

    rows = ("kept 3,210", "kept, MB 5.2", "found 2,500", "found, of asked 25.00 %", "repeated requests 1,414")
    for row in (*rows, "reused ids 15", "found in Redis 314", "Redis is down"):
        assert any(row in line for line in shown()), row
    told = run("stats", "--json").json[0]["cache"]
    assert (told["entry_count"], told["size_bytes"], told["request_id_count"]) == (3210, 5_150_000, 13)
    assert (told["shared"]["available"], told["shared"]["timeout_count"]) == (False, 3)
    service.replicas[0].cache.shared.available = True
    assert not any("is down" in line for line in shown())
    service.replicas[0].cache.ClearField("shared")
    assert not any("Redis" in line for line in shown())
    assert run("stats", "--json").json[0]["cache"]["shared"] is None


def test_stats_show_what_tick_streams_did(run: Run, service: FakeService) -> None:
    """What was conflated, missed and resumed; nothing where no stream ever was."""
    told = " ".join(run("stats").out.split())
    for words in ("applied 71,000", "conflated 7,400", "never received 73", "symbols resumed 75", "sent again 72"):
        assert words in told
    assert "behind their own time 250.00 ms" in told
    ticks = run("stats", "--json").json[0]["ticks"]
    assert (ticks["applied_count"], ticks["conflated_count"], ticks["event_time_skew"]) == (71_000, 7_400, 0.25)
    service.replicas[0].ClearField("ticks")
    service.replicas[0].open_stream_count = 0
    assert "tick streams" not in run("stats").out


def test_stats_thin_out_many_batch_sizes(run: Run, service: FakeService) -> None:
    """Of many sizes the doublings and the largest are shown, and that there are more; JSON has all."""
    batch = model_service_pb2.BatchCost
    del service.replicas[0].costs[0].batches[:]
    service.replicas[0].costs[0].batches.extend(
        batch(batch_size=n, median_duration=milliseconds(n), quantile_duration=milliseconds(n)) for n in range(1, 61)
    )
    outcome = run("stats")
    assert "7 of 60 sizes" in outcome.out
    assert [n for n in range(1, 61) if f" {n}.00 ms  " in outcome.out.split("60 sizes")[1]] == [1, 2, 4, 8, 16, 32, 60]
    assert len(run("stats", "--json").json[0]["costs"][0]["batches"]) == 60


def test_stats_say_how_old_other_replicas_figures_are(run: Run, service: FakeService) -> None:
    """Only what another replica told is dated, on a line of its own, below its name."""
    service.replicas = [replica("here"), replica("there", sample_age=2.5)]
    lines = [line.strip() for line in run("stats").out.splitlines()]
    assert lines[lines.index("replica there") + 1] == "figures 2.5 s old, as it last told"
    assert sum(line.startswith("figures") for line in lines) == 1


def test_stats_fit_80_columns(run: Run, service: FakeService) -> None:
    """Large figures of several models and replicas neither overflow a usual terminal nor are cut short."""
    busy = replica("there", sample_age=2.5)
    busy.batch_count, busy.promoted_count = 12_345_678, 1_234_567
    for entry in busy.classes:
        entry.queued_count, entry.in_time_count, entry.late_count = 4096, 1_234_567_890, 12_345_678
        entry.oldest_duration.CopyFrom(milliseconds(123_456))
    busy.outcome_counts["refused_predicted_miss"] = 1_234_567_890
    second = busy.costs.add()
    second.CopyFrom(busy.costs[0])
    second.model.CopyFrom(prediction_pb2.ModelVersion(name="gbpusd[bold]", version=12))
    service.replicas.append(busy)
    outcome = run("stats", COLUMNS="80")
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "…" not in outcome.out
    for shown in (" 123.46 s ", " 1,234,567,890 ", " 12,345,678 ", "gbpusd[bold]:12, batch limit 24"):
        assert shown in outcome.out


def test_stats_in_json(run: Run) -> None:
    """Programs get the replicas with every field, spans in seconds."""
    (told,) = run("stats", "--json").json
    assert (told["batch_count"], told["classes"][0]["priority"], told["classes"][0]["late_count"]) == (
        1234,
        "REAL_TIME",
        10,
    )
    assert (told["costs"][0]["batch_limit"], told["promoted_count"], told["profile"]) == (24, 77, "low_latency")
    assert told["costs"][0]["batches"][0] == {
        "batch_size": 1,
        "median_duration": pytest.approx(0.00125),
        "quantile_duration": pytest.approx(0.0015),
    }


def test_watching_waits_between_two_looks() -> None:
    """One look, one wait, another look: never two looks in a row."""
    log: list[str] = []

    def look() -> list[object]:
        log.append("look")
        return []

    assert list(islice(samples(look, lambda: log.append("wait")), 3)) == [[], [], []]  # type: ignore[arg-type]
    assert log == ["look", "wait", "look", "wait", "look"]


def test_watching_ends_with_ctrl_c(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is the way to stop looking, not a failure; until then a look a line."""
    waits = iter([None, KeyboardInterrupt()])

    def wait(_seconds: float) -> None:
        if (interrupt := next(waits)) is not None:
            raise interrupt

    monkeypatch.setattr("tickserve.cli.stats.time.sleep", wait)
    outcome = run("stats", "--watch", "--json")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 2


def test_watching_shows_the_tables(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is watched is what one look shows."""

    def wait(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tickserve.cli.stats.time.sleep", wait)
    outcome = run("stats", "--watch")
    assert outcome.code == 0
    assert outcome.out.split() == run("stats").out.split()


@pytest.mark.parametrize(("state", "code"), [("SERVING", 0), ("NOT_SERVING", 1), ("UNKNOWN", 1)])
def test_health_exits_with_zero_only_if_serving(run: Run, service: FakeService, state: str, code: int) -> None:
    """Scripts may rely on the exit code alone."""
    service.health.set("", health_pb2.HealthCheckResponse.ServingStatus.Value(state))
    outcome = run("health")
    assert outcome.code == code
    assert state in outcome.out


def test_health_of_an_unknown_service(run: Run) -> None:
    """A name that the service does not know is not healthy."""
    outcome = run("health", "--service", "nobody", "--json")
    assert (outcome.code, outcome.json["state"]) == (1, "SERVICE_UNKNOWN")


@pytest.mark.parametrize("command", ["models", "stats"])
def test_refusals_are_shown(run: Run, service: FakeService, command: str) -> None:
    """Every command has the same panel and code."""
    service.refusal = rich_status(grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_ALLOWED")
    outcome = run(command)
    assert (outcome.code, "METHOD_NOT_ALLOWED" in outcome.err) == (1, True)
