"""examples/follow.mjs, with the JavaScript client `graphql-ws` under Node: it receives each event exactly once, through
restarts of its server. `make test-node` runs these tests, and installs the client; they need Node 20 or newer."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.api import Api, Server
from tests.helpers.graphql_ws_client import WITHIN
from tests.helpers.paths import ROOT
from tests.helpers.stress import REFUSED, Follower, through_restarts

MODULES = Path(sys.prefix) / "node" / "node_modules"
DRIVER = ROOT / "tests" / "node" / "drive.mjs"
EXAMPLE = ROOT / "examples" / "follow.mjs"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not MODULES.exists(),
    reason="needs Node and the client that `make test-node` installs",
)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The path of the driver, which lies beside a copy of the example."""
    shutil.copy(EXAMPLE, tmp_path)
    (tmp_path / "node_modules").symlink_to(MODULES)
    return Path(shutil.copy(DRIVER, tmp_path))


class NodeClient(Follower):
    def __init__(self, script: Path, server: Server, filter: Any, start: str) -> None:
        super().__init__(filter, start)
        self._script = script
        self._viewer = Api(server)
        self.errors = ""

    async def run(self) -> None:
        """Runs until the client gives up, or until it is cancelled."""
        async with self._viewer:
            options = {
                "url": self._viewer.server.url.replace("http", "ws", 1) + "/graphql",
                "token": self._viewer.http.headers["authorization"].removeprefix("Bearer "),
                "filter": self.filter,
                "cursor": self.received.cursor,
            }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *("node", self._script, json.dumps(options)), stdout=pipe, stderr=pipe, limit=2**20
        )
        assert process.stdout is not None and process.stderr is not None
        try:
            async for line in process.stdout:
                self._take(json.loads(line))
            self.errors = (await process.stderr.read()).decode()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def _take(self, shown: dict[str, Any]) -> None:
        if "code" not in shown:
            self.received.take(shown)
        else:
            self.ends.append(f"{shown['code']} {shown['reason']}".rstrip() if shown["opened"] else REFUSED)


async def test_each_event_is_received_exactly_once_through_a_kill_and_a_restart(
    script: Path, tmp_path: Path, fresh_url: str
) -> None:
    await through_restarts(tmp_path, fresh_url, partial(NodeClient, script))


async def test_an_invalid_subscription_is_reported_and_not_retried(script: Path, api: Api) -> None:
    client = NodeClient(script, api.server, {"status": ["BROKEN"]}, "")
    async with asyncio.timeout(WITHIN):
        await client.run()
    assert client.errors.startswith("failed:") and "BROKEN" in client.errors
    assert client.received.ready == 0
