"""The log's history changes while servers run and clients watch: a standby takes over, with or without the last
transactions, or a backup is put in the place of the database.

Whoever has seen an event that is lost, or has a position that sees one, is reset, at once on a live connection and
otherwise on the next visit. Nobody else is, and everybody receives the events of the new history exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.api import Api, Server
from tests.helpers.clusters import Address, Cluster, ask, clusters, migrate_and_stop, run, until_true
from tests.helpers.database_checks import key
from tests.helpers.graphql_ws_client import WITHIN, Socket, live
from tests.helpers.histories import UNKNOWN, Log, Logged, Watcher, Watchers, is_lost, visit
from tests.helpers.proxy import Proxy, connector
from tests.helpers.stress import URGENT, WRITERS, server_of, server_process, write

COUNTS = "subscription { ticketCountsChanged { all } }"

Step = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
async def migrated() -> AsyncIterator[Cluster]:
    with clusters(1) as (cluster,):
        await migrate_and_stop(cluster)
        yield cluster


@pytest.fixture
def two(migrated: Cluster) -> Iterator[list[Cluster]]:
    """Two clusters, of which the first has a migrated database."""
    with clusters(2) as pair:
        pair[0].copy_from(migrated)
        yield pair


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
        await until_true(of.url, "count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'")
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
    async with Watchers(*steady, *others), live(here.api) as numbers:
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


async def test_after_a_failover_that_lost_events_those_who_saw_them_are_reset(
    two: list[Cluster], tmp_path: Path
) -> None:
    first, second = two
    async with site(first, tmp_path) as here, standby(second, first) as replication:

        async def cut() -> None:
            await received_everything(first, second)
            replication.fall_silent()

        async def fail_over() -> None:
            await first.crash()
            await second.promote()
            here.address.move(second)

        lost, new = await watched(here, cut, fail_over)
        assert len(lost) > 50
        assert assigned_again(lost, new)


async def test_a_failover_that_lost_nothing_resets_nobody(two: list[Cluster], tmp_path: Path) -> None:
    """Clients that change between a server started before the promotion and one started after it are not reset either.
    Meanwhile the address points to the standby that is not promoted yet."""
    first, second = two
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(site(first, tmp_path))
        await stack.enter_async_context(standby(second, first))
        restless = Watcher(here.servers, await here.cursor(), moves=25)

        async def switch_over() -> None:
            await first.stop()
            here.address.move(second)
            warning = "the database is a standby, or is being restored"
            await until(lambda: all(warning in server.process.log() for server in here.servers))
            await second.promote()
            late = await asyncio.to_thread(stack.enter_context, server_process(tmp_path, here.url))
            here.servers.append(server_of(late, here.url))

        lost, _ = await watched(here, nothing, switch_over, [restless])
        assert lost == []
        assert restless.resets == []
        assert restless.connections > 5


async def test_a_failover_that_lost_only_transactions_without_events_resets_nobody(
    two: list[Cluster], tmp_path: Path
) -> None:
    first, second = two
    async with site(first, tmp_path) as here, standby(second, first) as replication:

        async def fail_over() -> None:
            await received_everything(first, second)
            replication.fall_silent()
            for _ in range(20):
                await here.api.new_customer()
            await first.crash()
            await second.promote()
            here.address.move(second)

        lost, _ = await watched(here, nothing, fail_over)
        assert lost == []
        assert (await here.api("{ customers { totalCount } }"))["customers"]["totalCount"] == 0


async def test_a_copy_of_the_stopped_database_that_is_put_back_resets_those_who_saw_later_events(
    two: list[Cluster], tmp_path: Path
) -> None:
    first, second = two
    async with site(first, tmp_path) as here:

        async def copy() -> None:
            await first.stop()
            second.copy_from(first)
            await first.start()

        async def put_back() -> None:
            await first.stop()
            first.copy_from(second)
            await first.start()

        lost, new = await watched(here, copy, put_back)
        assert len(lost) > 50
        assert assigned_again(lost, new)


async def test_a_base_backup_started_as_it_is_resets_those_who_saw_later_events(
    two: list[Cluster], tmp_path: Path
) -> None:
    first, second = two
    async with site(first, tmp_path) as here:

        async def replace() -> None:
            await first.crash()
            await second.start()
            here.address.move(second)

        lost, new = await watched(here, lambda: second.back_up(first), replace)
        assert len(lost) > 50
        assert assigned_again(lost, new)


async def test_a_dump_restored_in_place_resets_those_who_saw_later_events(two: list[Cluster], tmp_path: Path) -> None:
    """The server, its connections and the cluster stay the same."""
    first, _ = two
    async with site(first, tmp_path) as here:

        async def dump() -> None:
            await run(first.pgdata, "pg_dump", "--format=custom", "--file=dump", f"--dbname={first.url}")

        async def restore() -> None:
            options = ("--clean", "--single-transaction", f"--dbname={first.url}")
            await run(first.pgdata, "pg_restore", *options, "dump")

        lost, _ = await watched(here, dump, restore)
        assert len(lost) > 50
