"""Apollo, urql and Relay, each with the example that lets it resume: they receive each event exactly once, through
restarts of their server. `make test-node` runs these tests, and installs the clients; they need Node 20 or newer."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.helpers.node_client import NodeClient, needs_node, script
from tests.helpers.stress import through_restarts

pytestmark = needs_node


@pytest.mark.parametrize("kind", ["apollo", "urql", "relay"])
async def test_each_event_is_received_exactly_once_through_a_kill_and_a_restart(
    tmp_path: Path, fresh_url: str, kind: str
) -> None:
    await through_restarts(tmp_path, fresh_url, partial(NodeClient, script(tmp_path, "stock.mjs"), kind=kind))
