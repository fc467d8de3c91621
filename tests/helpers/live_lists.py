"""A client of `ticketsLive`, which keeps a list by its snapshots and patches, and compares it with the query."""

from __future__ import annotations

import asyncio
import importlib.util
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.helpers.api import Api, Server
from tests.helpers.graphql_ws_client import WITHIN, Socket, live, narrow
from tests.helpers.paths import ROOT
from tests.helpers.ticket_lists import FIELDS, PRIORITIES, STATUSES

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


def example() -> Any:
    """The module `examples/live_list.py`."""
    spec = importlib.util.spec_from_file_location("live_list", ROOT / "examples" / "live_list.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


apply_patch: Callable[[list[Any], list[Message]], None] = example().apply_patch
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


class Keeper(LiveList):
    """A list that is kept until its task is cancelled. It connects again whenever it is disconnected, to one server
    after another; with a `pause` it reads slowly."""

    def __init__(
        self, servers: Sequence[Server], variables: dict[str, Any], number: int = 0, *, pause: float = 0.0
    ) -> None:
        super().__init__(Api(servers[-1]), variables)
        self.connections = 0
        self._servers = servers
        self._next = number
        self._pause = pause

    async def run(self) -> None:
        while True:
            server = self._servers[self._next % len(self._servers)]
            self._next += 1
            with suppress(OSError, ConnectionClosed, InvalidHandshake):
                await self._keep(server)
            await asyncio.sleep(0.1)

    async def _keep(self, server: Server) -> None:
        options: dict[str, Any] = {"max_queue": None}
        if self._pause:
            options = {"max_queue": 1, "sock": narrow(server.url)}
        async with live(self.viewer, server.url, **options) as socket:
            self.connections += 1
            await socket.subscribe("1", LIVE, **self.variables)
            while True:
                self.take(await socket.next())
                await asyncio.sleep(self._pause)

    async def is_right(self) -> None:
        """Waits until the list is the one that the query returns, while nothing is written."""
        listed = await self.listed()
        async with asyncio.timeout(WITHIN):
            while self.shown != listed:  # noqa: ASYNC110 (there is no event to wait for)
                await asyncio.sleep(0.02)


@asynccontextmanager
async def keeping(*keepers: Keeper) -> AsyncIterator[None]:
    """Runs keepers; each has had its first snapshot."""
    tasks = [asyncio.create_task(keeper.run()) for keeper in keepers]
    try:
        async with asyncio.timeout(WITHIN):
            while not all(keeper.snapshots for keeper in keepers):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield
        for task in tasks:
            assert not task.done(), task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for keeper in keepers:
            await keeper.viewer.close()


@asynccontextmanager
async def showing(viewer: Api, url: str | None = None, document: str = LIVE, **variables: Any) -> AsyncIterator[Screen]:
    """A list that has had its snapshot."""
    async with live(viewer, url) as socket:
        await socket.subscribe("1", document, **variables)
        screen = Screen(viewer, variables, socket)
        await screen.next()
        yield screen


# Random windows


def random_filter(drawn: random.Random, company: Company, depth: int = 2) -> dict[str, Any]:
    """A filter of a few criteria, perhaps nested."""
    choices: dict[str, Callable[[], Any]] = {
        "status": lambda: drawn.sample(STATUSES, drawn.randint(0, 3)),
        "priority": lambda: drawn.sample(PRIORITIES, drawn.randint(1, 3)),
        "category": lambda: drawn.sample(["GENERAL", "CCTV", "ALARM"], drawn.randint(1, 2)),
        "assignee": lambda: drawn.choice(
            [
                {"technicianId": drawn.choice(company.technicians)},
                {"unassigned": drawn.random() < 0.5},
                {"me": drawn.random() < 0.5},
                {"inactive": drawn.random() < 0.5},
            ]
        ),
        "customerId": lambda: drawn.choice(company.customers),
        "propertyId": lambda: drawn.choice(company.properties),
        "createdAt": lambda: {"from": drawn.choice(company.times)},
        "updatedAt": lambda: {drawn.choice(["from", "until"]): drawn.choice(company.times)},
        "search": lambda: drawn.choice(["siren", "camera", "elm street", "nobody", "customer"]),
    }
    names = drawn.sample(list(choices), drawn.choice([0, 1, 1, 2, 3]))
    filter = {name: choices[name]() for name in names}
    if depth and drawn.random() < 0.3:
        nested = [random_filter(drawn, company, depth - 1) for _ in range(2)]
        filter |= drawn.choice([{"and": nested}, {"or": nested}, {"not": nested[0]}])
    return filter


def random_order(drawn: random.Random) -> list[dict[str, str]]:
    fields = drawn.sample(FIELDS, drawn.choice([0, 1, 1, 2, 3]))
    return [{"field": field, "direction": drawn.choice(["ASC", "DESC"])} for field in fields]


@dataclass
class Company:
    """What random filters and changes refer to."""

    api: Api
    technicians: list[str] = field(default_factory=list)
    customers: list[str] = field(default_factory=list)
    properties: list[str] = field(default_factory=list)
    tickets: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)

    @classmethod
    async def founded(cls, api: Api, drawn: random.Random, tickets: int) -> Company:
        company = cls(api)
        company.technicians = [await api.new_technician() for _ in range(3)]
        company.customers = [await api.new_customer() for _ in range(2)]
        company.properties = [await api.new_property(customer) for customer in company.customers]
        for _ in range(tickets):
            await company.create(drawn)
        return company

    async def create(self, drawn: random.Random) -> None:
        given: dict[str, Any] = {}
        if drawn.random() < 0.6:
            place = drawn.randrange(len(self.customers))
            given = {"customerId": self.customers[place]}
            if drawn.random() < 0.5:
                given["propertyId"] = self.properties[place]
        if drawn.random() < 0.5:
            given["technicianId"] = drawn.choice(self.technicians)
        subject = drawn.choice(["Siren too quiet", "Camera dark", "Door stuck"])
        priority, category = drawn.choice(PRIORITIES), drawn.choice(["GENERAL", "CCTV", "ALARM"])
        self.tickets.append(await self.api.new_ticket(subject=subject, priority=priority, category=category, **given))
        self.times.append(datetime.now(UTC).isoformat())

    async def change(self, drawn: random.Random) -> None:
        """One change by an admin. Some are refused, which does not matter."""
        do, ticket = self.api.do, drawn.choice(self.tickets)
        match drawn.randrange(9):
            case 0:
                await self.create(drawn)
            case 1:
                await do("noteAdd", "__typename", ticketId=ticket, body="Between us.")
            case 2:
                await do("noteAdd", "__typename", ticketId=ticket, body="For all.", internalOnly=False)
            case 3 | 4:
                technician = drawn.choice([None, *self.technicians])
                await do("ticketAssign", "__typename", ticketId=ticket, technicianId=technician)
            case 5:
                resolution = "Done." if (status := drawn.choice(STATUSES)) == "RESOLVED" else None
                given = {"status": status} | ({"resolution": resolution} if resolution else {})
                await do("ticketSetStatus", "__typename", ticketId=ticket, **given)
            case 6:
                customer = drawn.choice([None, *self.customers])
                await do("ticketUpdate", "__typename", ticketId=ticket, customerId=customer)
            case 7:
                await do("ticketUpdate", "__typename", ticketId=ticket, priority=drawn.choice(PRIORITIES))
            case _:
                tickets = drawn.sample(self.tickets, 4)
                await do("ticketsBulkUpdate", "__typename", ticketIds=tickets, priority=drawn.choice(PRIORITIES))
