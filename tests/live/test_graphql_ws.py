"""examples/follow.mjs, with the JavaScript client `graphql-ws` under Node: it receives each event exactly once, through
restarts of its server. `make test-node` runs these tests, and installs the client; they need Node 20 or newer."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from tests.helpers.api import Api
from tests.helpers.graphql_ws_client import WITHIN
from tests.helpers.node_client import NodeClient, needs_node, script
from tests.helpers.stress import through_restarts

pytestmark = needs_node


async def test_each_event_is_received_exactly_once_through_a_kill_and_a_restart(tmp_path: Path, fresh_url: str) -> None:
    await through_restarts(tmp_path, fresh_url, partial(NodeClient, script(tmp_path, "drive.mjs")))


async def test_an_invalid_subscription_is_reported_and_not_retried(tmp_path: Path, api: Api) -> None:
    client = NodeClient(script(tmp_path, "drive.mjs"), api.server, {"status": ["BROKEN"]}, "")
    async with asyncio.timeout(WITHIN):
        await client.run()
    assert client.errors.startswith("failed:") and "BROKEN" in client.errors
    assert client.received.ready == 0
