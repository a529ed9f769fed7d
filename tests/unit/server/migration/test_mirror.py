"""Laws of the mirror's second half: it never makes anybody wait, and everything it took is counted once."""

import asyncio
import itertools
import json
from collections.abc import Callable

import pytest

from server.migration.agreement import Agreement
from server.migration.mirror import AskError, Exchange, Mirror, NewAnswer
from server.migration.original_answers import PREDICT

ANSWER = json.dumps({"predictions": {"classification_probs": [0.2, 0.8], "regression_pred": [0.1]}}).encode()


def exchange(size: int = 10) -> Exchange:
    """Returns an answered request whose body has so many bytes."""
    return Exchange(path=PREDICT, headers={}, body=b"x" * size, answer=ANSWER, seconds=0.02)


def said(status: int = 200, body: bytes = ANSWER) -> Callable[[Exchange], NewAnswer]:
    """Returns an answer of the new service's."""
    return lambda _: NewAnswer(status=status, body=body, seconds=0.01)


class New:
    """A new service that answers when it is let."""

    def __init__(self, *answers: Callable[[Exchange], NewAnswer]) -> None:
        self.answers = itertools.chain(answers, itertools.repeat(said()))
        self.may = asyncio.Event()
        self.asked = 0

    async def __call__(self, each: Exchange) -> NewAnswer:
        """Answers."""
        self.asked += 1
        await self.may.wait()
        return next(self.answers)(each)


async def settled() -> None:
    """Lets every task go as far as it can by itself."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_what_is_answered_alike_agrees() -> None:
    """Everything that was taken is compared by the time it is closed."""
    agreement, new = Agreement(), New()
    mirror = Mirror(new, agreement)
    mirror.start()
    assert all(mirror.offer(exchange()) for _ in range(10))
    new.may.set()
    await mirror.close(30)
    report = agreement.report()
    assert (report.windows, report.same_class, report.dropped) == (10, 10, 0)


@pytest.mark.parametrize(("most", "most_bytes"), [(3, 10**6), (100, 3 * exchange().size)])
async def test_what_does_not_fit_is_dropped_and_counted(most: int, most_bytes: int) -> None:
    """By number and by bytes; what is taken and what is dropped are all that was offered."""
    agreement, new = Agreement(), New()
    mirror = Mirror(new, agreement, max_waiting=most, max_bytes=most_bytes, workers=1)
    taken = [mirror.offer(exchange()) for _ in range(10)]
    assert taken == [True] * 3 + [False] * 7
    mirror.start()
    new.may.set()
    await mirror.close(30)
    report = agreement.report()
    assert (report.windows, report.dropped) == (3, 7)


async def test_room_is_given_back() -> None:
    """Bytes of what was compared are free again."""
    agreement, new = Agreement(), New()
    new.may.set()
    mirror = Mirror(new, agreement, max_bytes=exchange().size, workers=1)
    mirror.start()
    for count in range(1, 6):
        assert mirror.offer(exchange())
        await settled()
        assert agreement.report().windows == count
    await mirror.close(30)
    assert agreement.report().dropped == 0


async def test_a_service_that_never_answers_holds_nothing_up() -> None:
    """Closing waits as long as it is told and no longer; what was under way and what waited count as dropped."""
    agreement, new = Agreement(), New()
    mirror = Mirror(new, agreement, max_waiting=5, workers=2)
    mirror.start()
    for _ in range(5):
        assert mirror.offer(exchange())
    await settled()
    assert new.asked == 2
    await mirror.close(0)
    assert agreement.report().dropped == 5


async def test_every_way_to_fail_is_counted_and_the_next_is_compared() -> None:
    """No answer, a refusal, a body that is none: a kind each, and the workers go on."""

    def refuse(_: Exchange) -> NewAnswer:
        raise AskError("timeout")

    agreement, new = Agreement(), New(refuse, said(503), said(200, b"<html>"), said(200))
    new.may.set()
    mirror = Mirror(new, agreement, workers=1)
    mirror.start()
    for _ in range(4):
        mirror.offer(exchange())
    await mirror.close(30)
    report = agreement.report()
    assert report.new_failures == {"timeout": 1, "503": 1}
    assert (report.unreadable, report.windows) == (1, 1)
