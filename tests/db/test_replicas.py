"""Queries are read from replicas, and are as fresh as those from the primary: two servers on one primary with two
standbys, which fall behind, fail, and follow another history."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from db.events.replicas import Replicas
from tests.helpers.api import Api, Server
from tests.helpers.changed_history import received_everything, standby
from tests.helpers.clusters import Address, Cluster, ask, clusters, until_true
from tests.helpers.database_checks import write_ticket
from tests.helpers.graphql_ws_client import WITHIN, following
from tests.helpers.metrics import Metrics
from tests.helpers.process import free_port
from tests.helpers.proxy import Proxy, connector, through
from tests.helpers.stress import BOSS, server_of, server_process
from tests.helpers.terminal import Terminal

pytestmark = pytest.mark.slow

NEWEST = "{ tickets(first: 1) { totalCount nodes { id } } }"
# Each server looks for overdue assignments on the primary, in an index that no query of these tests reads.
SCANS = """coalesce(sum(seq_scan + idx_scan), 0)::int - (SELECT coalesce(sum(idx_scan), 0)::int
    FROM pg_stat_user_indexes WHERE indexrelname = 'ix_tickets_unanswered')
FROM pg_stat_user_tables WHERE relname = 'tickets'"""


@dataclass
class Site:
    """Two servers that reach the primary by an address, and its standbys, each with the proxy by which it receives."""

    address: Address
    primary: Cluster
    standbys: list[Cluster]
    received_by: list[Proxy]
    servers: list[Server]
    apis: list[Api]
    metrics: Metrics
    """Those of the first server."""

    async def scans(self) -> list[int]:
        """How often each database has read tickets: the primary first."""
        return [int(str(await ask(each.url, f"SELECT {SCANS}"))) for each in (self.primary, *self.standbys)]

    async def logged(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(WITHIN):
            while self.servers[0].process.log().count(text) < times:  # noqa: ASYNC110 (a file)
                await asyncio.sleep(0.05)

    async def all_are_read(self) -> None:
        """Waits until both replicas have answered queries of the first server."""
        before = await self.scans()
        async with asyncio.timeout(3 * WITHIN):  # three clusters have just started, on a machine that others use
            while not all(now > then for now, then in zip((await self.scans())[1:], before[1:], strict=True)):
                await self.apis[0](NEWEST)
                await asyncio.sleep(0.1)


@asynccontextmanager
async def replicated(migrated: Cluster, directory: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        primary, *standbys = stack.enter_context(clusters(3))
        primary.copy_from(migrated)
        await primary.start()
        received_by = [await stack.enter_async_context(standby(each, of=primary)) for each in standbys]
        address = Address(primary.url)
        url = await stack.enter_async_context(address.running())
        urls = ",".join(each.url for each in standbys)
        servers = []
        ports = [free_port(), free_port()]
        for port in ports:
            process = server_process(directory, url, database_replica_urls=urls, metrics_port=str(port))
            servers.append(server_of(await asyncio.to_thread(stack.enter_context, process), url))
        apis = [await stack.enter_async_context(Api(server)) for server in servers]
        site = Site(address, primary, standbys, received_by, servers, apis, Metrics(ports[0]))
        await apis[0].new_ticket()
        await site.all_are_read()
        yield site


@pytest.fixture(scope="module")
async def site(migrated: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with replicated(migrated, tmp_path_factory.mktemp("replicas")) as site:
        yield site


async def exact(site: Site, times: int) -> None:
    """Each ticket that one server has made is the first of the other's list at once."""
    for number in range(times):
        writer, reader = site.apis[number % 2], site.apis[1 - number % 2]
        before = (await writer(NEWEST))["tickets"]["totalCount"]
        ticket = await writer.new_ticket()
        found = (await reader(NEWEST))["tickets"]
        assert (found["nodes"], found["totalCount"]) == ([{"id": ticket}], before + 1)


async def test_queries_are_read_from_the_replicas(site: Site) -> None:
    await asyncio.sleep(1.5)  # until PostgreSQL has counted what was before
    before = await site.scans()
    read = [0, 0, 0]
    async with asyncio.timeout(2 * WITHIN):
        while min(read[1:]) < 40:
            await site.apis[0](NEWEST)
            read = [now - then for now, then in zip(await site.scans(), before, strict=True)]
    # None of the primary, but on a machine with much to do both replicas may be late at the same time.
    assert read[0] <= sum(read) / 10, read


async def test_the_metrics_say_which_replicas_are_read(site: Site) -> None:
    before = await site.metrics.scrape()
    await site.all_are_read()
    after = await site.metrics.until(lambda scrape: scrape["callout_replica_used"] == 2)
    for name in ("replica 1", "replica 2"):
        reads = "callout_replica_reads_total"
        assert after.sum(reads, replica=name) > before.sum(reads, replica=name)
    assert len(after.of("callout_replica_missed_total")) == 1


async def test_a_query_sees_what_another_server_has_just_committed(site: Site) -> None:
    await exact(site, 30)


async def test_a_stream_that_continues_from_a_query_has_no_gap(site: Site) -> None:
    """The cursor is the primary's: a standby's snapshots do not show which transactions are under way."""
    api = site.apis[0]
    writer = await asyncpg.connect(site.primary.url)
    try:
        async with writer.transaction():
            early = await write_ticket(writer, BOSS, "Written before the query, and committed after it")
            await api.new_ticket()
            await received_everything(site.primary, site.standbys[0])
            await received_everything(site.primary, site.standbys[1])
            cursor = (await api("{ tickets(first: 1) { streamCursor nodes { id } } }"))["tickets"]["streamCursor"]
    finally:
        await writer.close()
    late = await api.new_ticket()
    async with following(api, after=cursor) as socket:
        assert {(await socket.next())["ticketId"] for _ in range(2)} == {f"tkt_{early}", late}


async def test_a_query_after_an_event_sees_it(site: Site) -> None:
    async with following(site.apis[0]) as socket:
        for _ in range(10):
            ticket = await site.apis[1].new_ticket()
            assert (await socket.next())["ticketId"] == ticket
            assert (await site.apis[1](NEWEST))["tickets"]["nodes"] == [{"id": ticket}]


async def test_a_replica_that_falls_behind_is_left_out_until_it_keeps_up_again(site: Site) -> None:
    site.received_by[0].hold()
    await exact(site, 6)
    await site.logged("replica 1 is left out")
    site.received_by[1].hold()
    await exact(site, 6)  # by the primary alone
    await site.logged("replica 2 is left out")
    for proxy in site.received_by:
        proxy.release()
    await site.logged("replica 1 is read again")
    await site.logged("replica 2 is read again")
    await site.all_are_read()


WATCHERS = "FROM pg_stat_activity WHERE application_name = 'callout replicas'"


@asynccontextmanager
async def reading_from(
    site: Site, *urls: str, monkeypatch: pytest.MonkeyPatch, checking_seconds: float = 3_600.0
) -> AsyncIterator[Replicas]:
    """The standbys at `urls`, for this process alone. They have agreed with the primary, and are not checked again
    unless `checking_seconds` says so."""
    monkeypatch.setattr("db.events.replicas.CHECKING_SECONDS", checking_seconds)
    replicas = Replicas(site.primary.url, urls, 1)
    checking = asyncio.create_task(replicas.watch())
    try:
        async with asyncio.timeout(WITHIN):
            while not all(each.agreed_with for each in replicas.replicas):  # noqa: ASYNC110 (there is no event)
                await asyncio.sleep(0.05)
            while await replicas.fetch("SELECT 1") is None:  # noqa: ASYNC110 (there is no event)
                await asyncio.sleep(0.05)
        yield replicas
    finally:
        checking.cancel()
        await replicas.close()


async def test_a_replica_is_not_read_once_its_watch_is_lost(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has replayed was measured before: after a crash it may answer before it has replayed as much again."""
    url = site.standbys[0].url
    others = await ask(url, f"SELECT array_agg(pid) {WATCHERS}")
    assert isinstance(others, list)
    async with reading_from(site, url, monkeypatch=monkeypatch) as replicas:
        own = f"pid <> ALL (ARRAY{others}::int[])"
        assert await ask(url, f"SELECT bool_and(pg_terminate_backend(pid)) {WATCHERS} AND {own}")
        async with asyncio.timeout(WITHIN):
            while replicas.replicas[0].watched_by:  # noqa: ASYNC110 (there is no event)
                await asyncio.sleep(0)
        assert await replicas.fetch("SELECT 1") is None


async def test_a_read_does_not_wait_for_a_silent_replica(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits as long as for one that is late, whose log is asked for its position in vain."""
    monkeypatch.setattr("db.events.replicas.ANSWER_SECONDS", 3_600.0)
    monkeypatch.setattr("db.events.replicas.SILENCE_SECONDS", 3_600.0)
    url = site.standbys[0].url
    proxy = Proxy(connector(url))
    async with proxy.running() as port, reading_from(site, through(port, url), monkeypatch=monkeypatch) as replicas:
        proxy.hold()
        await site.apis[0].new_ticket()
        async with asyncio.timeout(WITHIN):
            assert await replicas.fetch("SELECT 1") is None


async def test_what_is_being_read_from_a_replica_that_goes_silent_is_read_from_the_primary(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as a check has found out, not when the statement has waited for too long."""
    monkeypatch.setattr("db.postgres.pool.SILENCE_SECONDS", 3_600.0)
    url = site.standbys[0].url
    proxy = Proxy(connector(url))
    async with proxy.running() as port:
        proxied = through(port, url)
        async with reading_from(site, proxied, monkeypatch=monkeypatch, checking_seconds=0.1) as replicas:
            async with asyncio.timeout(WITHIN):
                reading = asyncio.create_task(replicas.fetch("SELECT pg_sleep(0.5), 'under way'"))
                under_way = "EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%under way%')"
                await until_true(url, under_way)
                proxy.hold()
                assert await reading is None
            proxy.release()
            async with asyncio.timeout(WITHIN):
                while await replicas.fetch("SELECT 1") is None:  # noqa: ASYNC110 (there is no event)
                    await asyncio.sleep(0.05)


async def test_a_silent_replica_does_not_keep_others_from_being_checked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.events.replicas.SILENCE_SECONDS", 3_600.0)
    silent, other = (each.url for each in site.standbys)
    proxy = Proxy(connector(silent))
    async with proxy.running() as port:
        proxied = through(port, silent)
        async with reading_from(site, proxied, other, monkeypatch=monkeypatch, checking_seconds=0.1) as replicas:
            proxy.hold()
            await proxy.held()
            replicas.replicas[1].leave_out(ConnectionError("for the test"))
            async with asyncio.timeout(WITHIN):
                while not replicas.replicas[1].agreed_with:  # noqa: ASYNC110 (there is no event)
                    await asyncio.sleep(0.05)


async def test_a_conflict_with_what_a_replica_replays_costs_it_one_statement(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await asyncpg.connect(site.primary.url)
    try:
        await connection.execute("""CREATE FUNCTION conflict() RETURNS int LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'serialization_failure'; END $$""")
    finally:
        await connection.close()
    await received_everything(site.primary, site.standbys[0])
    async with reading_from(site, site.standbys[0].url, monkeypatch=monkeypatch) as replicas:
        assert await replicas.fetch("SELECT conflict()") is None
        assert await replicas.fetch("SELECT 1") is not None


async def test_the_doctor_says_which_replicas_can_be_read(site: Site) -> None:
    standby, other = (each.url for each in site.standbys)
    given = {"database_url": site.primary.url, "jwt_secret": "s" * 48, "env": "production"}
    healthy = await asyncio.to_thread(Terminal(**given, database_replica_urls=f"{standby},{other}"), "doctor")
    assert len(re.findall("✓ replica   .* can be read", healthy.stdout)) == 2
    wrong = f"{site.primary.url},postgresql://callout:swordfish@127.0.0.1:1/callout,{standby}"
    sick = await asyncio.to_thread(Terminal(**given, database_replica_urls=wrong), "doctor")
    assert sick.exit_code == 1
    assert re.search("✗ replica   .* is left out: it is not a standby\n", sick.stdout)
    assert re.search("✗ replica   .*127.0.0.1:1/.* is left out: .+\n", sick.stdout)
    assert len(re.findall("✓ replica   .* can be read", sick.stdout)) == 1
    assert "swordfish" not in sick.stdout + sick.stderr


async def test_the_primary_answers_what_a_damaged_replica_cannot(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, of which a file is missing."""
    async with reading_from(site, site.standbys[0].url, monkeypatch=monkeypatch) as replicas:
        assert await replicas.fetch("SELECT pg_read_file('no such file')") is None


async def test_nobody_notices_that_a_replica_fails(site: Site) -> None:
    async def reading() -> None:
        while not back.is_set():
            await site.apis[0](NEWEST)

    back = asyncio.Event()
    async with asyncio.TaskGroup() as work:
        for _ in range(4):
            work.create_task(reading())
        await site.standbys[1].crash()
        await exact(site, 4)
        await site.standbys[1].start()
        await site.logged("replica 2 is read again", times=2)
        back.set()
    await site.all_are_read()


async def test_a_replica_that_has_followed_another_history_is_not_read(migrated: Cluster, tmp_path: Path) -> None:
    """The standby that is promoted lacks events that the other one has."""
    async with replicated(migrated, tmp_path) as site:
        api = site.apis[0]
        kept = await api.new_ticket()
        await until_true(site.standbys[0].url, f"EXISTS (SELECT FROM tickets WHERE 'tkt_' || id::text = '{kept}')")
        site.received_by[0].hold()
        lost = await api.new_ticket()
        await until_true(site.standbys[1].url, f"EXISTS (SELECT FROM tickets WHERE 'tkt_' || id::text = '{lost}')")
        await site.primary.crash()
        await site.standbys[0].promote()
        site.address.move(site.standbys[0])
        seen = 0
        async with asyncio.timeout(WITHIN):
            while seen < 20:
                answer = await api.respond(NEWEST)
                if "errors" not in answer:
                    assert answer["data"]["tickets"]["nodes"] == [{"id": kept}]
                    seen += 1
        await site.logged("replica 2 is left out: it has events that the primary lacks")
        await site.logged("replica 1 is left out: it is not a standby")
