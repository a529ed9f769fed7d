"""Laws of how a replica's stores follow from its settings."""

from typing import Any

import pytest

from server.config.given_settings import GivenSettings
from server.config.live_settings import LiveSettings
from server.replica_stores import caller_limits
from server.security.metadata_limit import process_metadata_limit


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"replicas": 4}, 4),
        ({"replicas": 4, "autoscaling": {"enabled": True, "min_replicas": 6}}, 6),
        ({"autoscaling": {"enabled": True, "profile": "calendar", "calendars": ["XNYS"]}}, 2),
    ],
)
def test_limits_are_shared_by_as_many_as_there_are_at_first(
    values: dict[str, Any], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With autoscaling `replicas` is not used: the fewest are."""
    monkeypatch.setattr(process_metadata_limit, "settings", process_metadata_limit.settings)
    settings = GivenSettings(**{"replica_cpus": 1.0, "windows": {"allow_split": True}, **values})
    assert caller_limits(LiveSettings(settings))._rates.replicas == expected
