"""More ways in which the log's history changes, as in `tests/live/test_failover.py`, and many failovers in a row."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from tests.helpers.changed_history import (
    assigned_again,
    nothing,
    received_everything,
    site,
    standby,
    until,
    watched,
)
from tests.helpers.clusters import Cluster, ask, give_to_server, run, until_true
from tests.helpers.graphql_ws_client import following, live
from tests.helpers.histories import UNKNOWN, Log, Watcher, Watchers, visit
from tests.helpers.stress import URGENT, server_of, server_process


async def test_a_failover_that_lost_only_transactions_without_events_resets_nobody(
    two: list[Cluster], tmp_path: Path
) -> None:
    first, second = two
    async with site(first, tmp_path) as here, standby(second, first) as replication:

        async def fail_over() -> None:
            await received_everything(first, second)
            replication.fall_silent()
            for number in range(20):
                await ask(first.url, f"INSERT INTO article_words VALUES ('lost{number}', false)")
            await here.fail_over(first, second)

        lost, _ = await watched(here, nothing, fail_over)
        assert lost == []
        assert await ask(second.url, "SELECT count(*) FROM article_words") == 0


ENTRIES = """subscription($after: String) { auditEntryAdded(after: $after) {
    ... on AuditEntryAdded { cursor entry { objectId } } ... on StreamReady { ready: cursor }
    ... on StreamReset { cursor reason } } }"""


async def test_a_failover_that_lost_an_entry_of_the_audit_trail_resets_those_who_saw_it(
    two: list[Cluster], tmp_path: Path
) -> None:
    """At once on a live connection, otherwise on the next visit. Who followed tickets only, and who has a cursor from
    before, continue."""
    first, second = two
    async with (
        site(first, tmp_path) as here,
        standby(second, first) as replication,
        live(here.api) as screen,
        following(here.api) as tickets,
    ):
        await screen.subscribe("1", ENTRIES)
        assert "ready" in await screen.next()
        kept = await here.api.new_technician()
        seen = await screen.next()
        assert seen["entry"] == {"objectId": kept}
        await received_everything(first, second)
        replication.fall_silent()
        lost = await here.api.new_technician()
        gone = await screen.next()
        assert gone["entry"] == {"objectId": lost}
        await here.fail_over(first, second)
        reset = await screen.next()
        assert reset["reason"] == "CURSOR_UNKNOWN"
        assert "ready" in await screen.next()
        new = await here.api.new_technician()
        assert (await screen.next())["entry"] == {"objectId": new}
        for cursor, expected in ((gone["cursor"], "CURSOR_UNKNOWN"), (seen["cursor"], None)):
            await screen.subscribe(f"after {expected}", ENTRIES, after=cursor)
            answered = await screen.next()
            assert answered.get("reason") == expected
            if expected is None:
                assert answered["entry"] == {"objectId": new}
            assert "ready" in await screen.next()
        ticket = await here.api.new_ticket()
        assert (await tickets.next())["ticketId"] == ticket


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


async def test_many_failovers_while_everybody_writes(two: list[Cluster], tmp_path: Path) -> None:
    """The writers never pause, so that a failover loses whatever the standby has not received at that moment. Each time
    the old primary's place is taken by a new standby."""
    first, second = two
    async with site(first, tmp_path) as here:
        start = await here.cursor()
        watchers = [Watcher(here.servers, start), Watcher(here.servers[1:], start, URGENT)]
        restless = Watcher(here.servers, start, moves=15)
        resets = 0
        async with Watchers(*watchers, restless):
            for turn in range(8):
                async with standby(second, first) as replication, here.writing() as ended:
                    await until(lambda: ended() >= 100)
                    if turn % 2:
                        replication.fall_silent()
                        least = [watcher.received.total() + 10 for watcher in watchers]  # they must see what is lost
                        await until(
                            lambda least=least: (
                                ended() >= 200  # type: ignore[misc]
                                and all(
                                    watcher.received.total() >= n for watcher, n in zip(watchers, least, strict=True)
                                )
                            )
                        )
                    cursor = await here.cursor()
                    await here.fail_over(first, second)
                    before = ended()
                    await until(lambda least=before + 100: ended() >= least)  # type: ignore[misc]
                first, second = second, first
                second.clear()
                log = await Log.read(first.url)
                for watcher in (*watchers, restless):
                    await watcher.has(log)
                if turn % 2:
                    assert await visit(here.api, cursor) == (UNKNOWN, {})
                    resets += 1
        for watcher in watchers:
            assert len(watcher.resets) >= resets
            assert {*watcher.resets} == {UNKNOWN}
            assert watcher.connections == 1


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


async def test_a_restore_to_a_point_in_time_resets_those_who_saw_later_events(
    two: list[Cluster], tmp_path: Path
) -> None:
    """As docs/operations.md describes it: from a base backup and the WAL that the server has archived since then."""
    first, second = two
    archive = first.directory / "archive"
    archive.mkdir(mode=0o700)
    give_to_server(archive, first)
    first.configure(archive_mode="on", archive_command=f"cp %p {archive}/%f")
    times: list[object] = []
    async with site(first, tmp_path) as here:
        await second.back_up(first)

        async def note_the_time() -> None:
            times.append(await ask(first.url, "SELECT clock_timestamp()"))

        async def go_back() -> None:
            last = await ask(first.url, "SELECT pg_walfile_name(pg_switch_wal())")
            await until_true(first.url, f"last_archived_wal >= '{last}' FROM pg_stat_archiver")
            await first.crash()
            second.configure(
                archive_mode="off",
                restore_command=f"cp {archive}/%f %p",
                recovery_target_time=str(times[0]),
                recovery_target_action="promote",
            )
            signal = second.pgdata / "recovery.signal"
            signal.touch()
            give_to_server(signal, second)
            await second.start()
            await until_true(second.url, "NOT pg_is_in_recovery()")
            here.address.move(second)

        lost, _ = await watched(here, note_the_time, go_back)
        assert len(lost) > 50
