"""Laws of the Envoy example: it shares what the split shares, begins with the old service, and names what there is.

`make test-migration` runs it with the real Envoy.
"""

from typing import Any

import pytest
import yaml

from scripts.layering import ROOT
from server.migration.split_config import KEY_HEADERS, SHARED_PATHS, SIDE_HEADER

EXAMPLE = ROOT / "deploy/migration/envoy.yaml"


@pytest.fixture(scope="module")
def document() -> Any:
    """The example, read."""
    return yaml.safe_load(EXAMPLE.read_text())


@pytest.fixture(scope="module")
def routes(document: Any) -> Any:
    """Its routes by prefix, in order."""
    [chain] = document["static_resources"]["listeners"][0]["filter_chains"]
    [manager] = chain["filters"]
    [host] = manager["typed_config"]["route_config"]["virtual_hosts"]
    return {route["match"]["prefix"]: route for route in host["routes"]}


def test_it_shares_the_same_paths(routes: Any) -> None:
    """Those that both services answer, and after them everything else is the old one's."""
    assert list(routes) == [*SHARED_PATHS, "/"]
    assert routes["/"]["route"]["cluster"] == "old"
    assert all("weighted_clusters" in routes[path]["route"] for path in SHARED_PATHS)


def test_a_caller_is_known_by_the_routing_key(routes: Any) -> None:
    """And kept on his side by it."""
    route = routes[SHARED_PATHS[0]]["route"]
    assert route["hash_policy"][0]["header"]["header_name"] == KEY_HEADERS[0]
    assert route["weighted_clusters"]["use_hash_policy"] is True


def test_it_begins_with_the_old_service_alone(document: Any, routes: Any) -> None:
    """In the weights and in the runtime, whose keys are those that the weights are looked up by."""
    weighted = routes[SHARED_PATHS[0]]["route"]["weighted_clusters"]
    weights = {each["name"]: each["weight"] for each in weighted["clusters"]}
    assert weights == {"new": 0, "old": 100}
    start = document["layered_runtime"]["layers"][0]["static_layer"]
    assert start == {
        **{f"{weighted['runtime_key_prefix']}.{name}": weight for name, weight in weights.items()},
        "migration_mirror": 0,
    }


def test_what_it_names_is_there(document: Any, routes: Any) -> None:
    """Each cluster is defined, each side says its name, the mirror's key is one of the runtime's."""
    defined = {cluster["name"] for cluster in document["static_resources"]["clusters"]}
    route = routes[SHARED_PATHS[0]]["route"]
    used = {each["name"] for each in route["weighted_clusters"]["clusters"]}
    [mirror] = route["request_mirror_policies"]
    assert used | {mirror["cluster"], routes["/"]["route"]["cluster"]} == defined
    assert mirror["runtime_fraction"]["runtime_key"] in document["layered_runtime"]["layers"][0]["static_layer"]
    for each in route["weighted_clusters"]["clusters"]:
        assert each["response_headers_to_add"] == [{"header": {"key": SIDE_HEADER, "value": each["name"]}}]


def test_its_orders_are_taken_on_loopback_alone(document: Any) -> None:
    """Whoever reaches the admin port moves callers."""
    assert document["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_orders_of_the_page_are_those_of_the_example() -> None:
    """One in the page, which the example's own comments have too."""
    page = (ROOT / "docs/migration.md").read_text()
    [order] = [line for line in page.splitlines() if "runtime_modify" in line]
    assert order.strip() in EXAMPLE.read_text()
