"""Rounds of attacks in a row, each with a seed of its own; after each a good call is answered right; memory watched."""

from __future__ import annotations

import dataclasses
import gc
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil  # type: ignore[import-untyped]  # has no types

from benchmarks.fuzz.control_attack import attack_control
from benchmarks.fuzz.corpus import BARS, history, opening, seeds
from benchmarks.fuzz.door_attack import attack_metadata, http_attack
from benchmarks.fuzz.doorway import Doorway, Doorways
from benchmarks.fuzz.laws import LawBrokenError, check_answer, check_form, refusal_of
from benchmarks.fuzz.round import Round
from benchmarks.fuzz.stream_attack import attack_stream_predict, attack_stream_ticks
from benchmarks.fuzz.unary_attack import attack_unary
from tests.support import messages as m
from tickserve.v1.prediction_service_pb2 import PredictResponse, StreamTicksResponse

ROUND = 256
"""Damaged messages of one round."""
# In which order attacks take turns: what strangers reach first has the most of them.
_TURNS = "uptkuptuptheuptcuptupt"
_PROBE_WINDOWS = 64


@dataclasses.dataclass(slots=True, kw_only=True)
class Campaign:
    """What a campaign has done.

    Attributes:
        damaged: Messages, calls and requests that were damaged.
        outcomes: How many ended in which way.
        memory: Resident bytes of the process, after each tenth of the campaign.
    """

    damaged: int = 0
    outcomes: Counter[str] = dataclasses.field(default_factory=Counter)
    memory: list[int] = dataclasses.field(default_factory=list)

    @property
    def growth(self) -> int:
        """Bytes by which the process grew in the second half: in the first its caches and pools fill."""
        return self.memory[-1] - self.memory[len(self.memory) // 2 - 1] if len(self.memory) > 1 else 0


class CampaignError(AssertionError):
    """A law was broken.

    Args:
        seed: Of the campaign.
        the_round: In which it happened.
        number: Its number.
        error: What happened.
    """

    def __init__(self, seed: int, the_round: Round, number: int, error: Exception) -> None:
        last = "\n".join(f"  {method} {data[:200].hex()}" for method, data in the_round.sent[-3:])
        super().__init__(
            f"round {number} of seed {seed}: {type(error).__name__}: {error}\nThe last messages begin\n{last}\n"
            f"Again: python -m benchmarks.fuzz --seed {seed} --first {number} --count {ROUND}"
        )
        self.sent = the_round.sent


def run(
    doorways: Doorways, *, seed: int, count: int, first: int = 0, told: Callable[[Campaign], None] = lambda _: None
) -> Campaign:
    """Runs a campaign.

    Args:
        doorways: What is attacked.
        seed: Decides everything that is sent.
        count: Damaged messages to send, rounded up to whole rounds.
        first: Number of the first round: a later one can be had by itself.
        told: Called after each tenth.

    Raises:
        CampaignError: A law was broken.
    """
    campaign, known = Campaign(), seeds()
    attacks = _attacks(doorways)
    window = doorways.open.run(_probe_ticks(doorways.open))
    rounds = -(-count // ROUND)
    tenths = {rounds * tenth // 10 for tenth in range(1, 11)}
    for done, number in enumerate(itertools.count(first), start=1):
        the_round = Round(f"{seed}/{number}", ROUND, known)
        attack, doorway = attacks[_TURNS[number % len(_TURNS)]]
        try:
            doorway.run(attack(doorway, the_round))
            doorways.open.run(_probe(doorways.open, number))
            if number % len(_TURNS) == 0 and doorways.open.run(_probe_ticks(doorways.open)) != window:
                raise LawBrokenError("the same bars made another window afterwards")
            if doorways.open.service.errors:
                raise LawBrokenError(f"left in the loop: {doorways.open.service.errors}")
        except Exception as error:
            raise CampaignError(seed, the_round, number, error) from error
        campaign.damaged += the_round.damaged
        campaign.outcomes += the_round.outcomes
        if done in tenths:
            if len(campaign.memory) in {4, 9}:
                gc.collect()  # before the two that are compared: each costs as much as hundreds of messages
            campaign.memory.append(psutil.Process().memory_info().rss)
            told(campaign)
        if done >= rounds:
            return campaign
    raise AssertionError("unreachable")


def _attacks(doorways: Doorways) -> dict[str, tuple[Callable[[Doorway, Round], Any], Doorway]]:
    return {
        "u": (attack_unary, doorways.open),
        "p": (attack_stream_predict, doorways.open),
        "t": (attack_stream_ticks, doorways.open),
        "c": (attack_control, doorways.open),
        "k": (attack_metadata, doorways.keyed),
        "e": (attack_metadata, doorways.edged),
        "h": (http_attack(doorways.keyed.authorizer), doorways.keyed),
    }


async def _probe(doorway: Doorway, number: int) -> None:
    """Makes a good call that must be computed and answered right.

    Raises:
        LawBrokenError: It was not.
    """
    request = m.predict(window=m.window(number % _PROBE_WINDOWS), request_id="")
    request.options.bypass_cache = True
    outcome = await doorway.call("Predict", request.SerializeToString())
    if outcome.context.code is not None:
        raise LawBrokenError(f"a good call was refused afterwards: {refusal_of(outcome.context)}")
    check_answer(PredictResponse.FromString(outcome.responses[0]).prediction, request)


async def _probe_ticks(doorway: Doorway) -> str:
    """Opens a good tick stream and returns the digest of the window that its tick's answer was computed from.

    Raises:
        LawBrokenError: It was not answered.
    """
    symbol = f"PROBE{next(doorway.probes)}"
    tick = m.tick(symbol, BARS + 1, bar=m.bar(BARS)).SerializeToString()
    outcome = await doorway.exchange("StreamTicks", [opening(symbol), history(symbol), tick])
    responses = [StreamTicksResponse.FromString(data) for data in outcome.responses]
    answers = [response.prediction.prediction for response in responses if response.HasField("prediction")]
    if len(answers) != 1:
        raise LawBrokenError(f"a good tick stream was not answered afterwards: {responses}")
    check_form(answers[0])
    return answers[0].input.sha256
