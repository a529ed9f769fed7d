"""Which hosts behind an edge are names, and what the plan makes of them."""

import pytest

from server.config.settings import Settings
from server.config.tls_settings import TlsSettings
from server.edge.settings_edge import Upstream, edge_plan


@pytest.mark.parametrize(
    ("target", "is_name"),
    [("10.0.0.7:9000", False), ("[::1]:9000", False), ("localhost:9000", True), ("a.b.svc.cluster.local:9000", True)],
)
def test_names_are_told_from_addresses(target: str, is_name: bool) -> None:
    """One name among the two hosts is enough to look names up."""
    assert Upstream(grpc=target, http="10.0.0.7:8000").has_names == is_name
    assert Upstream(grpc="10.0.0.7:8000", http=target).has_names == is_name


def test_a_plan_has_what_it_is_told_or_the_service_beside_it() -> None:
    """Without an upstream the edge stands in front of loopback."""
    settings = Settings(tls=TlsSettings.model_validate({"cert": "a.pem", "key": "a.key"}))
    beside = edge_plan(settings)
    assert (beside.inner_grpc, beside.inner_http, beside.looks_up) == ("127.0.0.1:9000", "127.0.0.1:8000", False)
    elsewhere = edge_plan(settings, upstream=Upstream(grpc="serve:9000", http="serve:8000"))
    assert (elsewhere.inner_grpc, elsewhere.inner_http, elsewhere.looks_up) == ("serve:9000", "serve:8000", True)
