"""Laws of a decision log's bytes: what was written is read, and damage costs the records it lies in and no others."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from server.telemetry.decision import Decision
from server.telemetry.decision_frame import MAGIC, Damage, UnreadableDecisionError, decode, encode, split

_texts = st.text(max_size=20)
_fields = st.dictionaries(
    _texts.filter(lambda name: name not in ("shape", "answer")),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    max_size=5,
)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """Draws a decision whose window may hold what looks like the beginning of a record."""
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    window = draw(st.binary(min_size=4 * rows * columns, max_size=4 * rows * columns) | st.just(MAGIC * rows * columns))
    has_window, count = draw(st.booleans()), draw(st.integers(0, 5))
    return Decision(
        fields=draw(_fields),
        window=window if has_window else b"",
        shape=(rows, columns) if has_window else (),
        answer=draw(st.binary(min_size=4 * count, max_size=4 * count)),
        answer_sizes={"numbers": count} if count else {},
    )


def read(data: bytes) -> tuple[list[Decision], list[Damage]]:
    """Returns what is in a file."""
    found: list[Decision] = []
    damages: list[Damage] = []
    for item in split(data):
        if isinstance(item, Damage):
            damages.append(item)
        else:
            found.append(decode(item[1]))
    return found, damages


@given(st.lists(decisions(), max_size=6))
def test_what_was_written_is_read(written: list[Decision]) -> None:
    """All of it, in order, to the bit."""
    assert read(b"".join(map(encode, written))) == (written, [])


@given(st.lists(decisions(), min_size=1, max_size=5), st.data())
def test_a_file_cut_anywhere_keeps_its_whole_records(written: list[Decision], data: st.DataObject) -> None:
    """What kill -9 leaves: the records before the cut, and an unfinished one, which is told."""
    frames = list(map(encode, written))
    whole = b"".join(frames)
    cut = data.draw(st.integers(0, len(whole)))
    count, end = 0, 0
    while count < len(frames) and end + len(frames[count]) <= cut:
        end += len(frames[count])
        count += 1
    found, damages = read(whole[:cut])
    assert found == written[:count]
    assert damages == ([Damage(offset=end, length=cut - end, is_tail=True)] if cut > end else [])


@given(st.lists(decisions(), min_size=1, max_size=5), st.data())
def test_one_changed_byte_costs_its_own_record_only(written: list[Decision], data: st.DataObject) -> None:
    """And is found, wherever it is."""
    frames = list(map(encode, written))
    hit = data.draw(st.integers(0, len(frames) - 1))
    before = b"".join(frames[:hit])
    at = len(before) + data.draw(st.integers(0, len(frames[hit]) - 1))
    # Three bytes of a frame mean nothing and are not covered.
    if 5 <= at - len(before) < 8:
        return
    spoilt = bytearray(b"".join(frames))
    spoilt[at] ^= data.draw(st.integers(1, 255))
    found, damages = read(bytes(spoilt))
    assert found == written[:hit] + written[hit + 1 :]
    assert [(each.offset, each.length) for each in damages] == [(len(before), len(frames[hit]))]


@given(st.binary(max_size=300), st.lists(decisions(), min_size=1, max_size=3), st.binary(max_size=300))
def test_records_are_found_among_anything(before: bytes, written: list[Decision], after: bytes) -> None:
    """Every byte of a file is in a record or in damage."""
    data = before + b"".join(map(encode, written)) + after
    found, damages = read(data)
    assert found == written
    assert sum(each.length for each in damages) == len(before) + len(after)


@given(st.binary(max_size=200))
def test_an_intact_frame_of_anything_is_refused_or_read(payload: bytes) -> None:
    """Somebody else's format raises nothing but what is said."""
    with contextlib.suppress(UnreadableDecisionError):
        decode(payload)
