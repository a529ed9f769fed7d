"""Laws of the key on the command line: it reaches the service from the option or the variable, and no screen."""

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import FakeService

KEY, OTHER = "tsk_desk_" + "A" * 43, "tsk_desk_" + "B" * 43
COMMANDS = (("models",), ("stats",), ("predict", "--example"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_key_is_sent(run: Run, service: FakeService, command: tuple[str, ...]) -> None:
    """The option wins over the variable; without both there is none."""
    for arguments, environment, sent in (
        ((), {}, None),
        ((), {"TICKSERVE_API_KEY": OTHER}, f"Bearer {OTHER}"),
        (("--api-key", KEY), {"TICKSERVE_API_KEY": OTHER}, f"Bearer {KEY}"),
    ):
        run(*command, *arguments, **environment)
        assert service.metadata.get("authorization") == sent


def test_a_key_is_not_sent_far_away_as_plain_text(run: Run) -> None:
    """That is wrong usage, and said without the key."""
    outcome = run("models", "--target", "prices.example:9000", "--api-key", KEY)
    assert (outcome.code, "plain text" in " ".join(outcome.err.split())) == (2, True)
    assert KEY not in outcome.out + outcome.err


def test_help_names_the_variable_and_shows_no_key(run: Run) -> None:
    """Defaults from the environment must not be printed."""
    outcome = run("models", "--help", TICKSERVE_API_KEY=KEY)
    assert ("TICKSERVE_API_KEY" in outcome.out, KEY in outcome.out) == (True, False)
