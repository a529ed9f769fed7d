"""The loops of `tickserve bench`, in virtual time: what is sent when, and what latency counts from."""

import asyncio
from collections.abc import Callable

import pytest

from tests.support.virtual_time import run_virtually
from tickserve import OverloadedError, Priority
from tickserve.bench.driver import Driver, Run
from tickserve.bench.outcome import Outcome
from tickserve.bench.plan import BenchPlan


class Service:
    """Answers each request after `delay(number)` seconds; a negative one is a refusal."""

    def __init__(self, delay: Callable[[int], float] = lambda _number: 0.0) -> None:
        self.delay = delay
        self.numbers: list[int] = []
        self.timeouts: list[float] = []
        self.at_once = self.most_at_once = 0

    async def ask(self, number: int, priority: Priority, timeout: float) -> str:
        """Sends one request."""
        del priority
        self.numbers.append(number)
        self.timeouts.append(timeout)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            delay = self.delay(number)
            if delay < 0:
                raise OverloadedError("full", reason="QUEUE_FULL", retry_delay=-delay)
            await asyncio.sleep(delay)
        finally:
            self.at_once -= 1
        return ""


def run(plan: BenchPlan, service: Service) -> Run:
    """Runs a plan in virtual time."""

    async def main() -> Run:
        loop = asyncio.get_running_loop()
        return await Driver(plan, service.ask, clock=loop.time).run()

    return run_virtually(main())


@pytest.mark.parametrize("concurrency", [1, 10])
def test_a_closed_loop_has_as_many_callers_as_it_says(concurrency: int) -> None:
    """All requests are sent, each with a window of its own, never more at once than there are callers."""
    service = Service(lambda _number: 0.01)
    result = run(BenchPlan(requests=100, concurrency=concurrency, warm_up=3), service)
    assert len(result.samples) == 100
    assert sorted(service.numbers) == list(range(103))
    assert service.most_at_once == concurrency
    assert result.elapsed == pytest.approx(100 * 0.01 / concurrency)


def test_a_closed_loop_ends_with_its_duration() -> None:
    """No request is sent after it; the one on its way is waited for and counts."""
    result = run(BenchPlan(duration=1.0, concurrency=2, warm_up=0), Service(lambda _number: 0.3))
    assert len(result.samples) == 8
    assert max(sample.sent for sample in result.samples) == pytest.approx(0.9)
    assert result.elapsed == pytest.approx(1.2)


def test_a_refused_caller_waits_as_it_is_told_but_not_for_ever() -> None:
    """A closed loop of refusals is no busy loop: each caller waits the delay that it is told, a second at the most."""
    short = run(BenchPlan(duration=1.0, concurrency=1, warm_up=0), Service(lambda _number: -0.25))
    assert [sample.sent for sample in short.samples] == pytest.approx([0, 0.25, 0.5, 0.75])
    assert {(sample.outcome, sample.reason) for sample in short.samples} == {(Outcome.REFUSED, "QUEUE_FULL")}
    long = run(BenchPlan(duration=3.0, concurrency=1, warm_up=0), Service(lambda _number: -600.0))
    assert [sample.sent for sample in long.samples] == pytest.approx([0, 1, 2])


def test_an_open_loop_sends_whatever_the_answers_do() -> None:
    """A service that stands still changes neither when requests are sent nor how many."""
    plan = BenchPlan(duration=2.0, rate=50, arrivals="poisson", timeout=100, warm_up=0)
    quick, stuck = run(plan, Service()), run(plan, Service(lambda _number: 60.0))
    assert sorted(sample.due for sample in quick.samples) == sorted(sample.due for sample in stuck.samples)
    assert 60 < len(quick.samples) < 140


def test_an_open_loop_counts_from_when_a_request_was_due() -> None:
    """A generator that was held up does not hide the wait: the request that it sends late is as late as it is."""

    async def main() -> Run:
        loop = asyncio.get_running_loop()
        held = iter([5.0])

        async def sleep(delay: float) -> None:
            await asyncio.sleep(delay + next(held, 0.0))

        plan = BenchPlan(requests=10, rate=10, arrivals="even", timeout=1.0, warm_up=0)
        return await Driver(plan, service.ask, clock=loop.time, sleep=sleep).run()

    service = Service()
    result = run_virtually(main())
    lags = [sample.sent - sample.due for sample in result.samples]
    assert lags == pytest.approx([5.0 - 0.1 * index for index in range(10)])
    assert [sample.ended - sample.due for sample in result.samples] == pytest.approx(lags)
    assert {sample.outcome for sample in result.samples} == {Outcome.LATE}
    # It is late already, and still sent: with the least that can be asked for.
    assert service.timeouts == pytest.approx([0.001] * 10)


def test_an_open_loop_may_end_after_a_number_of_requests() -> None:
    """With both ends named, the first one counts."""
    assert len(run(BenchPlan(requests=7, rate=100, warm_up=0), Service()).samples) == 7
    assert (
        len(run(BenchPlan(requests=700, duration=1.0, rate=100, arrivals="even", warm_up=0), Service()).samples) == 100
    )


def test_classes_come_as_the_mix_says() -> None:
    """Shares are kept to within chance, the same for the same seed."""
    mix = {Priority.REAL_TIME: 0.1, Priority.STANDARD: 0.6, Priority.BACKGROUND: 0.3}
    plan = BenchPlan(requests=5_000, concurrency=50, mix=mix, warm_up=0)
    first, again = (run(plan, Service()) for _ in range(2))
    for priority, share in mix.items():
        count = sum(sample.priority is priority for sample in first.samples)
        assert count / 5_000 == pytest.approx(share, abs=0.03)
    assert [sample.priority for sample in first.samples] == [sample.priority for sample in again.samples]


def test_what_is_no_refusal_ends_the_run() -> None:
    """A fault of the bench itself is raised, not counted."""

    def broken(_number: int) -> float:
        raise RuntimeError("broken")

    with pytest.raises(ExceptionGroup) as caught:
        run(BenchPlan(requests=5, concurrency=2, warm_up=0), Service(broken))
    assert caught.group_contains(RuntimeError, match="broken")
