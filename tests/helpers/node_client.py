"""Clients under Node, which follow tickets by a script of `tests/node/` and the examples. `make test-node` installs
what they need, in Node 20 or newer."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.api import Api, Server
from tests.helpers.paths import ROOT
from tests.helpers.stress import REFUSED, Follower

MODULES = Path(sys.prefix) / "node" / "node_modules"

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not MODULES.exists(),
    reason="needs Node and the clients that `make test-node` installs",
)


def script(directory: Path, name: str) -> Path:
    """Returns the path of a script of `tests/node/`, copied to beside copies of the examples and the modules."""
    for source in (*ROOT.glob("tests/node/*.mjs"), *ROOT.glob("examples/*.mjs")):
        shutil.copy(source, directory)
    (directory / "node_modules").symlink_to(MODULES)
    return directory / name


class NodeClient(Follower):
    """Runs a script that prints each message, and the end of each connection, as a line of JSON. It gets its options,
    with those in `more`, as JSON."""

    def __init__(self, script: Path, server: Server, filter: Any, start: str, **more: str) -> None:
        super().__init__(filter, start)
        self._script = script
        self._viewer = Api(server)
        self._more = more
        self.errors = ""

    async def run(self) -> None:
        """Runs until the client gives up, or until it is cancelled."""
        async with self._viewer:
            options = {
                "url": self._viewer.server.url.replace("http", "ws", 1) + "/graphql",
                "token": self._viewer.http.headers["authorization"].removeprefix("Bearer "),
                "filter": self.filter,
                "cursor": self.received.cursor,
                **self._more,
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
