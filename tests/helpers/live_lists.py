"""A client of `ticketsLive`, which keeps a list by its snapshots and patches, and compares it with the query."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from tests.helpers.api import Api
from tests.helpers.graphql_ws_client import WITHIN, Socket, live
from tests.helpers.paths import ROOT

Message: TypeAlias = dict[str, Any]

ROW = """fragment row on TicketEdge { cursor node { id reference version subject status priority updatedAt
    technician { id name } customer { id name } notes(first: 3) { totalCount nodes { body } } } }"""
LIVE = f"""subscription($filter: TicketFilter, $orderBy: [TicketOrder!], $first: Int) {{
    ticketsLive(filter: $filter, orderBy: $orderBy, first: $first) {{
        __typename
        ... on WindowSnapshot {{ cursor totalCount edges {{ ...row }} }}
        ... on WindowPatch {{ cursor totalCount operations {{
            __typename
            ... on WindowInsert {{ index edge {{ ...row }} }}
            ... on WindowMove {{ from to edge {{ ...row }} }}
            ... on WindowReplace {{ index edge {{ ...row }} }}
            ... on WindowRemove {{ index }} }} }} }} }} {ROW}"""
LIST = f"""query($filter: TicketFilter, $orderBy: [TicketOrder!], $first: Int) {{
    tickets(filter: $filter, orderBy: $orderBy, first: $first) {{ totalCount edges {{ ...row }} }} }} {ROW}"""


def _example() -> Any:
    spec = importlib.util.spec_from_file_location("live_list", ROOT / "examples" / "live_list.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


apply_patch: Callable[[list[Any], list[Message]], None] = _example().apply_patch
"""The function that clients copy."""


class LiveList:
    """The list of one subscription. `patches` are the patches that it has had, each with its operations."""

    def __init__(self, viewer: Api, variables: dict[str, Any]) -> None:
        self.edges: list[Any] = []
        self.total = -1
        self.snapshots = 0
        self.patches: list[list[Message]] = []
        self.viewer = viewer
        self.variables = variables

    def take(self, message: Message) -> None:
        self.total = message["totalCount"]
        if message["__typename"] == "WindowSnapshot":
            self.snapshots += 1
            self.edges = message["edges"]
            return
        before = len(self.edges)
        apply_patch(self.edges, message["operations"])
        most = self.variables.get("first", 20)
        assert len(self.edges) <= most and before <= most
        self.patches.append(message["operations"])

    async def listed(self) -> tuple[int, list[Any]]:
        """What the query returns now."""
        page = (await self.viewer(LIST, **self.variables))["tickets"]
        return page["totalCount"], page["edges"]

    @property
    def shown(self) -> tuple[int, list[Any]]:
        return self.total, self.edges

    @property
    def ids(self) -> list[str]:
        return [edge["node"]["id"] for edge in self.edges]


class Screen(LiveList):
    """A list on a socket of its own, which the test reads."""

    def __init__(self, viewer: Api, variables: dict[str, Any], socket: Socket) -> None:
        super().__init__(viewer, variables)
        self.socket = socket

    async def next(self) -> list[str]:
        """Takes the next message. Returns the kinds of its operations."""
        message = await self.socket.next()
        self.take(message)
        return [each["__typename"].removeprefix("Window") for each in message.get("operations", ())]

    async def catches_up(self) -> None:
        """Takes messages until the list is the one that the query returns."""
        listed = await self.listed()
        async with asyncio.timeout(WITHIN):
            while self.shown != listed:
                await self.next()


@asynccontextmanager
async def showing(viewer: Api, url: str | None = None, document: str = LIVE, **variables: Any) -> AsyncIterator[Screen]:
    """A list that has had its snapshot."""
    async with live(viewer, url) as socket:
        await socket.subscribe("1", document, **variables)
        screen = Screen(viewer, variables, socket)
        await screen.next()
        yield screen
