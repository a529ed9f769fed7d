"""Laws of the edge's configuration: what clients say of themselves goes first, no value breaks out of its word."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.edge.haproxy_config import EdgePlan, identity_map, quoted, render

PLAN = EdgePlan(
    folder=Path("/run/edge"),
    host="0.0.0.0",
    grpc_port=9443,
    http_port=8443,
    inner_grpc="127.0.0.1:9000",
    inner_http="127.0.0.1:8000",
)


def frontends(plan: EdgePlan) -> list[list[str]]:
    """Returns the directives of the two frontends."""
    sections = render(plan).split("\nfrontend ")[1:]
    return [[line.strip() for line in part.partition("\nbackend ")[0].splitlines()[1:]] for part in sections]


@pytest.mark.parametrize("certificates", ["none", "optional", "required"])
def test_headers_are_taken_away_before_they_are_set(certificates: str) -> None:
    """In each frontend, the order of the rules is: all deletions, then the edge's own words."""
    parts = frontends(replace(PLAN, client_certificates=certificates))
    assert len(parts) == 2
    for lines in parts:
        kinds = [line.split()[1] for line in lines if line.startswith("http-request")]
        assert kinds == sorted(kinds)  # "del-header" before "set-header"
        assert kinds.count("del-header") == 2
        assert any("x-tickserve-edge-secret" in line for line in lines)
        assert any("client-identity" in line for line in lines) == (certificates != "none")


def test_the_secret_is_not_in_the_file() -> None:
    """HAProxy reads it from its environment."""
    assert '"${TICKSERVE_EDGE_SECRET}"' in render(PLAN)


@pytest.mark.parametrize(("limit", "said"), [(0, False), (7, True)])
def test_an_address_has_a_limit_where_one_is_set(limit: int, said: bool) -> None:
    """Zero is none."""
    for lines in frontends(replace(PLAN, max_connections_per_address=limit)):
        assert any("sc0_conn_cur gt 7" in line for line in lines) == said


@given(st.text())
def test_a_value_stays_one_word(value: str) -> None:
    """It is quoted whole, or refused: no newline, no quote, nothing that could begin a directive of its own."""
    try:
        word = quoted(value)
    except ValueError:
        return
    assert word == f"'{value}'"
    assert "'" not in value
    assert value.isprintable()


@pytest.mark.parametrize("host", ["", "127.0.0.1\n    stats enable", "x' level user '"])
def test_a_host_that_is_more_than_a_host_is_refused(host: str) -> None:
    """Before HAProxy sees it."""
    if host:
        with pytest.raises(ValueError, match="cannot stand"):
            render(replace(PLAN, host=host))
    else:
        with pytest.raises(ValueError, match="cannot stand"):
            quoted(host)


def test_identities_are_one_a_line() -> None:
    """As HAProxy's map files are."""
    assert identity_map({"desk-2": "k2", "desk-1": "k1"}) == "desk-1 k1\ndesk-2 k2\n"


def test_a_name_is_looked_up_again_and_never_dropped() -> None:
    """Both hosts behind are followed when they move; a name server without an answer takes none of them away."""
    text = render(
        replace(PLAN, inner_grpc="serve.trading.svc:9000", inner_http="serve.trading.svc:8000", looks_up=True)
    )
    lines = [line.strip() for line in text.splitlines()]
    servers = [line for line in lines if line.startswith("server ")]
    assert len(servers) == 2
    assert all(line.endswith("resolvers system resolve-prefer ipv4 init-addr last,libc,none") for line in servers)
    for answer in ("nx", "timeout", "refused", "other"):
        assert f"hold {answer} 24d" in lines
    assert "resolvers" not in render(PLAN)
