"""The log's history changes while servers run and clients watch: a standby takes over, with or without the last
transactions, or a backup is put in the place of the database.

Whoever has seen an event that is lost, or has a position that sees one, is reset, at once on a live connection and
otherwise on the next visit. Nobody else is, and everybody receives the events of the new history exactly once.
"""

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
from tests.helpers.clusters import Cluster, run
from tests.helpers.histories import Watcher
from tests.helpers.stress import server_of, server_process


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
