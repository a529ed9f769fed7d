"""Laws of the choice of an arm: fixed for ever, in the right proportion, independent from model to model."""

import pytest

from server.routes.router import Arm, arm_of, place

PLACES = [0.0600661256909607, 0.306874665119812, 0.9969662409186018]
KEYS = [f"key-{number}" for number in range(20_000)]


def test_places_never_change() -> None:
    """Replicas of different builds must agree; these are the values of the first one."""
    assert [place("cnn_lstm", key) for key in ("", "a", "EURUSD")] == PLACES


@pytest.mark.parametrize("percent", [0.5, 20.0, 50.0])
def test_the_share_of_keys_is_the_percentage(percent: float) -> None:
    """Within four standard deviations of a fair draw; the keys are fixed, so it cannot fail by chance."""
    share = percent / 100
    count = sum(arm_of("cnn_lstm", key, percent) is Arm.CANDIDATE for key in KEYS)
    assert abs(count - share * len(KEYS)) < 4 * (share * (1 - share) * len(KEYS)) ** 0.5


def test_models_choose_independently() -> None:
    """Among those who meet one model's candidate, no more and no fewer meet another's."""
    chosen = [key for key in KEYS if arm_of("one", key, 50) is Arm.CANDIDATE]
    both = sum(arm_of("other", key, 50) is Arm.CANDIDATE for key in chosen)
    assert abs(both - len(chosen) / 2) < 4 * (len(chosen) / 4) ** 0.5


def test_a_key_and_a_name_do_not_run_together() -> None:
    """What ends the one does not begin the other."""
    assert place("ab", "c") != place("a", "bc")
