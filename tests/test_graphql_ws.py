"""`graphql-ws` under Node, as `docs/live.md` says to use it: through restarts of its server, each event comes exactly
once. `make test-node` runs these tests; they need Node 20 or newer, and npm to have installed the client."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.api import Api, Server
from tests.examples import example
from tests.fire import REFUSED, Follower, through_restarts
from tests.live import WITHIN

MODULES = Path(sys.prefix) / "node" / "node_modules"
DRIVER = Path(__file__).parent / "node" / "follow.mjs"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not MODULES.exists(),
    reason="needs Node and the client that `make test-node` installs",
)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The driver, beside the page's code."""
    (tmp_path / "live.mjs").write_text(example("js"))
    (tmp_path / "node_modules").symlink_to(MODULES)
    return Path(shutil.copy(DRIVER, tmp_path))


class NodeClient(Follower):
    def __init__(self, script: Path, server: Server, filter: Any, start: str) -> None:
        super().__init__(filter, start)
        self._script = script
        self._viewer = Api(server)
        self.errors = ""

    async def run(self) -> None:
        """Until the client gives up, too."""
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


async def test_through_a_kill_and_a_restart_each_event_comes_exactly_once(
    script: Path, tmp_path: Path, fresh_url: str
) -> None:
    await through_restarts(tmp_path, fresh_url, partial(NodeClient, script))


async def test_what_cannot_be_followed_is_said_and_not_tried_again(script: Path, api: Api) -> None:
    client = NodeClient(script, api.server, {"status": ["BROKEN"]}, "")
    async with asyncio.timeout(WITHIN):
        await client.run()
    assert client.errors.startswith("failed:") and "BROKEN" in client.errors
    assert client.received.ready == 0
