"""Servers and clients around a database whose history changes: a standby takes over, or a backup takes its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.api import Api, Server
from tests.helpers.clusters import Address, Cluster, ask, until_true
from tests.helpers.database_checks import key
from tests.helpers.graphql_ws_client import WITHIN, Socket, live
from tests.helpers.histories import UNKNOWN, Log, Logged, Watcher, Watchers, is_lost, visit
from tests.helpers.live_lists import Keeper, keeping
from tests.helpers.proxy import Proxy, connector
from tests.helpers.stress import URGENT, WRITERS, server_of, server_process, write

COUNTS = "subscription { ticketCountsChanged { all } }"

Step = Callable[[], Awaitable[None]]


@dataclass
class Site:
    """Servers that reach the primary by an address."""

    directory: Path
    address: Address
    url: str
    servers: list[Server]
    api: Api
    tickets: list[str]

    async def cursor(self) -> str:
        return str((await self.api("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"])

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Callable[[], int]]:
        """Runs the writers during the block; they reconnect after outages. Yields how many transactions they have
        ended."""
        goes_on, ended = True, 0

        def done() -> None:
            nonlocal ended
            ended += 1

        async with asyncio.TaskGroup() as work:
            for seed in range(WRITERS):
                work.create_task(write(self.url, self.tickets, done, lambda: goes_on, seed))
            try:
                yield lambda: ended
            finally:
                goes_on = False

    async def fail_over(self, primary: Cluster, standby: Cluster) -> None:
        """The primary's machine fails, and the standby takes its place."""
        await primary.crash()
        await standby.promote()
        self.address.move(standby)

    async def write(self, transactions: int) -> None:
        async with self.writing() as ended:
            await until(lambda: ended() >= transactions)

    async def write_and_collect(self, transactions: int, watcher: Watcher) -> list[str]:
        """Returns cursors of lists, and of a watcher's messages, of different times."""
        cursors = []
        async with self.writing() as ended:
            for number in range(5):
                least = transactions * number // 5
                await until(lambda least=least: ended() >= least)  # type: ignore[misc]
                cursors += [await self.cursor(), watcher.cursor]
        return cursors


@asynccontextmanager
async def site(cluster: Cluster, directory: Path) -> AsyncIterator[Site]:
    """Two servers on the cluster, which is started."""
    await cluster.start()
    async with AsyncExitStack() as stack:
        address = Address(cluster.url)
        url = await stack.enter_async_context(address.running())
        servers = []
        for _ in range(2):
            process = await asyncio.to_thread(stack.enter_context, server_process(directory, url))
            servers.append(server_of(process, url))
        api = await stack.enter_async_context(Api(servers[0]))
        tickets = [key(await api.new_ticket()) for _ in range(12)]
        yield Site(directory, address, url, servers, api, tickets)


@asynccontextmanager
async def standby(cluster: Cluster, of: Cluster) -> AsyncIterator[Proxy]:
    """Makes the cluster an asynchronous standby. Yields the proxy through which it receives."""
    proxy = Proxy(connector(of.url))
    async with proxy.running() as port:
        await cluster.back_up(of, "--write-recovery-conf")
        await cluster.follow(port)
        await received_everything(of, cluster)
        yield proxy


async def received_everything(of: Cluster, cluster: Cluster) -> None:
    end = await ask(of.url, "SELECT pg_current_wal_flush_lsn()::text")
    await until_true(cluster.url, f"pg_last_wal_replay_lsn() >= '{end}'")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(2 * WITHIN):
        while not condition():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.02)


async def watched(here: Site, mark: Step, change: Step, others: Sequence[Watcher] = ()) -> tuple[list[Logged], Log]:
    """Writes before `mark`, between `mark` and `change`, where events may be lost, and after `change`, while watchers
    watch and cursors are collected; then checks who is reset, and what everybody has received. Returns the lost events,
    and the new history."""
    start = await here.cursor()
    everything = Watcher(here.servers, start)
    urgent = Watcher(here.servers[1:], start, URGENT)
    quiet = Watcher(here.servers, start, {"source": ["CHATBOT"]})
    steady = (everything, urgent, quiet)
    newest = Keeper(here.servers, {"first": 5, "orderBy": [{"field": "UPDATED_AT", "direction": "DESC"}]})
    async with Watchers(*steady, *others), keeping(newest), live(here.api) as numbers:
        await numbers.subscribe("1", COUNTS)
        await shows(numbers, 12)
        away = await here.write_and_collect(60, everything)
        await mark()
        away += await here.write_and_collect(60, everything)
        await here.api.new_ticket()
        await shows(numbers, 13)
        old = await Log.read(here.url)
        for watcher in steady[:2]:
            await watcher.has(old)
        before = [watcher.cursor for watcher in steady]
        await change()
        lost = old.lacking_in(await Log.read(here.url))
        if lost:
            await shows(numbers, 12)
        await here.write(60)
        new = await Log.read(here.url)
        for watcher in (everything, urgent, *others):
            await watcher.has(new)
        await newest.is_right()
        assert newest.connections == 1 and newest.snapshots >= 1 + bool(lost)
        for watcher, cursor in zip(steady, before, strict=True):
            assert watcher.resets == [UNKNOWN] * is_lost(old, cursor, lost)
            assert (watcher.connections, watcher.ends) == (1, [])
        assert (everything.resets, quiet.resets) == ([UNKNOWN] * bool(lost), [])
        assert {is_lost(old, cursor, lost) for cursor in away} == {False, bool(lost)}
        for server in here.servers:
            async with Api(server) as viewer:
                for cursor in away:
                    await returns(viewer, cursor, old, new, lost)
    return lost, new


async def shows(numbers: Socket, tickets: int) -> None:
    """Waits until the live number of all tickets is this. Numbers may be sent again."""
    async with asyncio.timeout(WITHIN):
        while await numbers.next() != {"all": tickets}:
            """An earlier one."""


async def returns(viewer: Api, cursor: str, old: Log, new: Log, lost: Sequence[Logged]) -> None:
    """Visits with a cursor of the old history, and checks the answer."""
    reset, found = await visit(viewer, cursor)
    if is_lost(old, cursor, lost):
        assert (reset, found.total()) == (UNKNOWN, 0)
    else:
        assert reset is None
        assert found == new.after(cursor)


async def nothing() -> None:
    """No step."""


def assigned_again(lost: Sequence[Logged], new: Log) -> bool:
    return not {event.xid for event in lost}.isdisjoint(event.xid for event in new.events)
