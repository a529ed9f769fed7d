"""Damaged messages between valid ones on both streams: each stream survives, and nothing on it stays unanswered."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from benchmarks.fuzz.corpus import history, opening, tick_seeds
from benchmarks.fuzz.doorway import Doorway, Outcome
from benchmarks.fuzz.laws import LawBrokenError, check_answer, check_form, read_ticks, reason_of, refusal_of
from benchmarks.fuzz.round import Round
from tests.support import messages as m
from tickserve.v1.prediction_service_pb2 import StreamPredictRequest, StreamPredictResponse, StreamTicksResponse

_IN_A_STREAM = 32
_GOOD = 4
_HEARTBEAT = m.heartbeat().SerializeToString()


async def attack_stream_predict(doorway: Doorway, the_round: Round) -> None:
    """Sends a round of damaged items over several streams, a few good ones among them.

    Raises:
        LawBrokenError: An outcome that must not be.
    """
    method = "StreamPredict"
    for size in the_round.groups(_IN_A_STREAM):
        items = [the_round.damage(method, request_id=f"i{number}") for number in range(size)]
        for number in range(_GOOD):
            good = m.item(f"good-{number}", window=m.window(number)).SerializeToString()
            items.insert(the_round.chance.randrange(len(items) + 1), the_round.note(method, good))
        outcome = await doorway.exchange(method, items)
        _require_open(outcome)
        if len(outcome.responses) != len(items):
            raise LawBrokenError(f"{len(outcome.responses)} responses to {len(items)} items")
        _check_items(items, outcome, the_round)


def _check_items(items: list[bytes], outcome: Outcome, the_round: Round) -> None:
    requests: dict[str, list[StreamPredictRequest]] = {}
    for data in items:
        try:
            request = StreamPredictRequest.FromString(data)
        except DecodeError:
            continue
        requests.setdefault(request.request_id, []).append(request)
    answered = set()
    for data in outcome.responses:
        response = StreamPredictResponse.FromString(data)
        if response.HasField("error"):
            the_round.ended("StreamPredict item", reason_of(response.error))
            continue
        the_round.ended("StreamPredict item", "answered")
        answered.add(response.request_id)
        asked = requests[response.request_id]
        if len(asked) == 1:  # of several under one id, one after the other, nobody knows which this is
            check_answer(response.prediction, asked[0])
    missing = {f"good-{number}" for number in range(_GOOD)} - answered
    if missing:
        raise LawBrokenError(f"damaged items harmed good ones: {missing} were not answered")


async def attack_stream_ticks(doorway: Doorway, the_round: Round) -> None:
    """Sends a round of damaged messages over several tick streams, valid ones among them.

    Raises:
        LawBrokenError: An outcome that must not be.
    """
    method, chance = "StreamTicks", the_round.chance
    for size in the_round.groups(_IN_A_STREAM):
        # Symbols that no stream has spoilt before, and one that all have.
        symbols = [f"A{chance.randrange(10**6)}", f"B{chance.randrange(10**6)}", "EURUSD"]
        seeds = tick_seeds(*symbols)
        messages = []
        if chance.random() < 0.85:
            messages.append(the_round.note(method, opening(*symbols)))
        if chance.random() < 0.4:
            messages.append(the_round.note(method, history(symbols[0])))  # so that its ticks have answers
        for _ in range(size):
            messages.append(the_round.damage(method, seeds=seeds))
            if chance.random() < 0.2:
                messages.append(the_round.note(method, chance.choice(seeds.messages)))
        messages.append(the_round.note(method, _HEARTBEAT))
        outcome = await doorway.exchange(method, messages)
        _require_open(outcome)
        _check_ticks(messages, outcome, the_round)


def _check_ticks(messages: list[bytes], outcome: Outcome, the_round: Round) -> None:
    requests = read_ticks(messages)
    responses = [StreamTicksResponse.FromString(data) for data in outcome.responses]
    kinds = [response.WhichOneof("message") for response in responses]
    for response in responses:
        if response.HasField("error"):
            the_round.ended("StreamTicks message", reason_of(response.error.error))
            continue
        the_round.ended("StreamTicks message", str(response.WhichOneof("message")))
        if response.HasField("prediction"):
            check_form(response.prediction.prediction)
    asked = [None if request is None else request.WhichOneof("message") for request in requests]
    if kinds.count("heartbeat") != asked.count("heartbeat"):
        raise LawBrokenError(f"{asked.count('heartbeat')} heartbeats, {kinds.count('heartbeat')} answers to them")
    opens = [request.open for request in requests if request is not None and request.HasField("open")]
    if any(message.conflate for message in opens):
        return  # one answer may stand for many ticks then
    answers = sum(kind not in {"durable", "drain"} for kind in kinds)
    # A watermark that closes no bar has no answer.
    if answers < len(messages) - asked.count("watermark"):
        raise LawBrokenError(f"{answers} answers to {len(messages)} messages: {kinds}")


def _require_open(outcome: Outcome) -> None:
    if outcome.context.code is not None:
        raise LawBrokenError(f"a stream was ended as a whole: {refusal_of(outcome.context)}")
