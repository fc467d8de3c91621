"""examples/follow.py, with the Python client `gql`: it receives each event exactly once, through server restarts."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import ConnectionClosed

from tests.helpers.api import Api, Server
from tests.helpers.graphql_ws_client import WITHIN
from tests.helpers.paths import ROOT
from tests.helpers.stress import REFUSED, Follower, end_of, through_restarts

EXAMPLE = ROOT / "examples" / "follow.py"


def load(path: Path) -> ModuleType:
    """Loads a copy of the module for each client, so that the test can watch that client's transport."""
    spec = importlib.util.spec_from_file_location("follow", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class WatchedTransport(WebsocketsTransport):
    """Records how its connection ends, which gql does not report."""

    def __init__(self, ends: list[str], **options: Any) -> None:
        super().__init__(**options)
        self._ends = ends

    async def connect(self) -> None:
        try:
            await super().connect()
        except TransportError as error:
            self._record(error)
            raise

    async def _close_hook(self) -> None:
        if isinstance(self.close_exception, TransportError):
            self._record(self.close_exception)

    def _record(self, error: TransportError) -> None:
        cause = error.__cause__
        self._ends.append(end_of(cause) if isinstance(cause, ConnectionClosed) else REFUSED)


class GqlClient(Follower):
    def __init__(self, server: Server, filter: Any, start: str) -> None:
        super().__init__(filter, start)
        self._example = load(EXAMPLE)
        self._example.__dict__["WebsocketsTransport"] = partial(WatchedTransport, self.ends)
        self._viewer = Api(server)
        self.tokens = 0

    async def run(self) -> None:
        async with self._viewer:
            await self._example.follow(
                socket_url(self._viewer.server), self._token, self.filter, self.received.cursor, self.received.take
            )

    def _token(self) -> str:
        self.tokens += 1
        return self._viewer.http.headers["authorization"].removeprefix("Bearer ")


def socket_url(server: Server) -> str:
    return server.url.replace("http", "ws", 1) + "/graphql"


async def test_each_event_is_received_exactly_once_through_a_kill_and_a_restart(tmp_path: Path, fresh_url: str) -> None:
    await through_restarts(tmp_path, fresh_url, GqlClient)


async def test_an_invalid_subscription_is_reported_and_not_retried(api: Api) -> None:
    follower = GqlClient(api.server, {"status": ["BROKEN"]}, "")
    with pytest.raises(TransportQueryError, match="BROKEN"):
        await follower.run()
    assert follower.tokens == 1


async def test_the_program_prints_the_list_and_then_each_change(api: Api) -> None:
    before = await api.new_ticket()
    token = api.http.headers["authorization"].removeprefix("Bearer ")
    command = (sys.executable, EXAMPLE, socket_url(api.server))
    program = await asyncio.create_subprocess_exec(
        *command, env=os.environ | {"ADMIN_TOKEN": token}, stdout=asyncio.subprocess.PIPE
    )
    assert program.stdout is not None
    try:
        async with asyncio.timeout(WITHIN):
            tickets = json.loads(await program.stdout.readline())
            assert before in [ticket["id"] for ticket in tickets["nodes"]]
            assert json.loads(await program.stdout.readline())["__typename"] == "StreamReady"
            created = await api.new_ticket()
            entered = json.loads(await program.stdout.readline())
            assert (entered["change"], entered["ticketId"]) == ("ENTERED", created)
    finally:
        program.kill()
        await program.wait()
