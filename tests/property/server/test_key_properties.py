"""Laws of keys over all inputs: nothing but a whole token opens the door, and a file gives back what was put in."""

import contextlib
import string
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from batching import PriorityClass
from server.grant import Grant, RateLimit
from server.refusal import Reason, Refusal
from server.security.api_key import ApiKey, new_secret, split_token, token_of
from server.security.key_file import KeyFileError, parse_keys, render_keys
from tests.support.doors import made_key, open_to, written_keys

IDS = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=64).filter(
    lambda text: text[0].isalnum()
)
CLASSES = st.sampled_from([PriorityClass.REAL_TIME, PriorityClass.STANDARD, PriorityClass.BACKGROUND])
INSTANTS = st.integers(0, 4_000_000_000).map(float)
LIMITS = st.builds(RateLimit, rate=st.floats(1e-3, 1e9), burst=st.floats(1, 1e9))


@st.composite
def api_keys(draw: st.DrawFn) -> ApiKey:
    """Draws any key."""
    key_id = draw(IDS)
    return ApiKey(
        sha256=draw(st.binary(min_size=32, max_size=32)),
        grant=Grant(
            key_id=key_id,
            owner=draw(IDS),
            max_priority=draw(CLASSES),
            rate_limits=draw(st.dictionaries(CLASSES, LIMITS)),
            max_streams=draw(st.integers(0, 10**6)),
        ),
        methods=draw(st.frozensets(st.sampled_from(["*", "Predict", "StreamTicks"]), min_size=1)),
        name=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=200)),
        created_at=draw(INSTANTS),
        expires_at=draw(st.none() | INSTANTS),
    )


@given(st.lists(api_keys(), unique_by=lambda key: key.id, max_size=5))
def test_a_file_gives_back_what_was_put_in(keys: list[ApiKey]) -> None:
    """Any keys, in any number."""
    by_id = {key.id: key for key in keys}
    assert parse_keys(render_keys(by_id), where="f") == by_id


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_keys_or_refused(data: bytes) -> None:
    """With an error of ours, which never has what was in them by way of a value."""
    with contextlib.suppress(KeyFileError):
        parse_keys(data, where="f")


@given(IDS)
def test_a_token_is_split_into_what_it_was_made_of(key_id: str) -> None:
    """Whatever separators the id holds."""
    secret = new_secret()
    assert split_token(token_of(key_id, secret)) == (key_id, secret)


class Door:
    """A door with one key, made once: what opens it does not depend on what was tried before."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "keys.json"
            [self.token] = written_keys(path, made_key("desk_1"))
            self.authorizer = open_to(path)

    def reason(self, token: str) -> Reason | None:
        """Returns why a token is refused; None if it is not."""
        try:
            self.authorizer.admit("Predict", {"x-api-key": token})
        except Refusal as refusal:
            return refusal.reason
        return None


DOOR = Door()


@given(st.text(max_size=200) | st.builds(token_of, IDS | st.just("desk_1"), st.text(min_size=43, max_size=43)))
def test_no_other_text_is_accepted(token: str) -> None:
    """Whatever it looks like, and whatever alphabet it is in."""
    assert DOOR.reason(token) is (None if token.strip() == DOOR.token else Reason.API_KEY_INVALID)


@given(st.data())
def test_any_changed_character_is_refused(data: st.DataObject) -> None:
    """Also in the last one, some of whose bits encode nothing."""
    index = data.draw(st.integers(0, len(DOOR.token) - 1))
    alphabet = st.sampled_from(string.ascii_letters + string.digits + "-_") | st.characters()
    other = data.draw(alphabet.filter(lambda character: character != DOOR.token[index] and not character.isspace()))
    assert DOOR.reason(DOOR.token[:index] + other + DOOR.token[index + 1 :]) is Reason.API_KEY_INVALID


@given(st.data())
def test_a_token_cut_or_grown_is_refused(data: st.DataObject) -> None:
    """A part of a key is none."""
    index = data.draw(st.integers(0, len(DOOR.token) - 1))
    grown = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_"))
    for text in (DOOR.token[:index], DOOR.token[:index] + DOOR.token[index + 1 :], DOOR.token + grown):
        assert DOOR.reason(text) is Reason.API_KEY_INVALID


def test_the_key_itself_is_accepted() -> None:
    """Or the laws above would hold of a door that is walled up."""
    assert DOOR.reason(DOOR.token) is None
