"""What the fuzzer has found on the HTTP side, each with the request that did it."""

import pytest

from benchmarks.fuzz.http_side import check_request, http_app
from tests.support.doors import open_to_all


@pytest.mark.parametrize("path", ["/livez/", "/metrics/", "/console/dom.js/"])
async def test_a_slash_too_many_beside_bytes_that_are_no_text_is_not_found(path: str) -> None:
    """Starlette reads the query as UTF-8 to send such callers to the path without the slash: that was a 500."""
    app = http_app(open_to_all())
    status = await check_request(app, method="GET", path=path, query=b"\x9e", headers=[], body=b"", token="")
    assert status == 404
