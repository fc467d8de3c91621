"""Python's `gql`, as `docs/live.md` says to use it: through restarts of its server, each event comes exactly once."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import ConnectionClosed

from tests.api import Api, Server
from tests.examples import example
from tests.fire import REFUSED, Follower, end_of, through_restarts


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The page's code, in the file that somebody has copied it into."""
    path = tmp_path / "copied.py"
    path.write_text(example("python"))
    return path


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("copied", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class WatchedTransport(WebsocketsTransport):
    """Records how its connection ends, of which gql says nothing to who uses it."""

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
    def __init__(self, copied: Path, server: Server, filter: Any, start: str) -> None:
        super().__init__(filter, start)
        self._client = load(copied)
        self._client.__dict__["WebsocketsTransport"] = partial(WatchedTransport, self.ends)
        self._viewer = Api(server)
        self.tokens = 0

    async def run(self) -> None:
        url = self._viewer.server.url.replace("http", "ws", 1) + "/graphql"
        async with self._viewer:
            await self._client.follow(url, self._token, self.filter, self.received.cursor, self.received.take)

    def _token(self) -> str:
        self.tokens += 1
        return self._viewer.http.headers["authorization"].removeprefix("Bearer ")


async def test_through_a_kill_and_a_restart_each_event_comes_exactly_once(
    copied: Path, tmp_path: Path, fresh_url: str
) -> None:
    await through_restarts(tmp_path, fresh_url, partial(GqlClient, copied))


async def test_what_cannot_be_followed_is_said_and_not_tried_again(copied: Path, api: Api) -> None:
    follower = GqlClient(copied, api.server, {"status": ["BROKEN"]}, "")
    with pytest.raises(TransportQueryError, match="BROKEN"):
        await follower.run()
    assert follower.tokens == 1
