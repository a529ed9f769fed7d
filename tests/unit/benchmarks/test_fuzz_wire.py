"""The wire form of the fuzzer's messages, and its damage."""

import random

import pytest
from google.protobuf.message import DecodeError

from benchmarks.fuzz.corpus import seeds
from benchmarks.fuzz.mutator import Mutator
from benchmarks.fuzz.wire import LENGTH, VARINT, Field, fields_of, joined, varint
from tickserve.v1.prediction_service_pb2 import PredictRequest

SEEDS = seeds()


@pytest.mark.parametrize("method", sorted(SEEDS))
def test_taken_apart_and_joined_a_message_is_the_same(method: str) -> None:
    """Every valid message that the damage begins with."""
    for message in SEEDS[method].messages:
        fields = fields_of(message)
        assert fields is not None
        assert joined(fields) == message


@pytest.mark.parametrize("data", [b"\x0a\x05abc", b"\x0b\x0c", b"\x80", b"\x00\x00", b"\x0f"])
def test_what_is_no_message_has_no_fields(data: bytes) -> None:
    """Too short, a group, an unfinished number, the field number 0, an encoding that does not exist."""
    assert fields_of(data) is None


def test_numbers_are_written_as_protobuf_reads_them() -> None:
    """Negative ones in ten bytes, padded ones with the same value."""
    assert varint(-1) == b"\xff" * 9 + b"\x01"
    padded = Field(5, VARINT, varint(2, padding=3))
    assert PredictRequest.FromString(joined([padded])).priority == 2


def test_the_same_seed_does_the_same_damage() -> None:
    """A round that failed can be had again."""
    known = SEEDS["PredictBatch"]

    def damaged(seed: int) -> list[bytes]:
        mutator = Mutator(random.Random(seed), max_bytes=100_000)
        return [mutator.message(known.messages[0], known.kind, known.messages) for _ in range(50)]

    assert damaged(1) == damaged(1)
    assert damaged(1) != damaged(2)


@pytest.mark.parametrize("method", ["Predict", "PredictBatch", "StreamTicks"])
def test_much_of_the_damage_passes_the_parser(method: str) -> None:
    """Otherwise the code behind it would never see any; and some does not pass."""
    known, mutator = SEEDS[method], Mutator(random.Random(1), max_bytes=100_000)
    read = changed = 0
    for number in range(400):
        valid = known.messages[number % len(known.messages)]
        damaged = mutator.message(valid, known.kind, known.messages)
        changed += damaged != valid
        try:
            known.kind.FromString(damaged)
        except DecodeError:
            continue
        read += 1
    assert changed > 350
    assert 120 < read < 380


def test_some_messages_are_too_large() -> None:
    """And would be valid otherwise."""
    known, mutator = SEEDS["Predict"], Mutator(random.Random(2), max_bytes=50_000)
    sizes = [len(mutator.message(known.messages[3], known.kind, known.messages)) for _ in range(4000)]
    assert max(sizes) > 50_000


def test_a_field_of_any_size_is_one_field() -> None:
    """Its length takes as many bytes as it needs."""
    [field] = fields_of(joined([Field(1, LENGTH, bytes(300))])) or ()
    assert len(field.payload) == 300
