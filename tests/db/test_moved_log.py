"""The event log restored into another cluster, where its transaction ids have no meaning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from db.enums import StreamResetReason
from db.events import counts
from db.events import log as event_log
from db.events.position import NOW, Position
from db.events.stream_cursor import Reset, StreamCursors, check_cursor
from db.postgres import pool as engine
from db.postgres.pool import Database as Pool
from tests.helpers.api import Api
from tests.helpers.change_pages import fetch_page
from tests.helpers.counting import COUNTED, change, counted, create, in_tickets, stored
from tests.helpers.database_checks import Database, until, until_blocked
from tests.helpers.graphql_ws_client import following
from tests.helpers.positions import position_at
from tests.helpers.process import callout_process
from tests.helpers.stress import SECRET, server_of

pytestmark = pytest.mark.slow

CHATBOT, BOSS = ("SERVICE", "chatbot"), ("ADMIN", "boss")
AHEAD = 1_000_000_000  # by how many transactions the other cluster was ahead


@pytest.fixture(autouse=True)
async def old_cursor(database: Database) -> str:
    """Makes the rows look as if they came from another cluster; returns a cursor from there. Some events lie before the
    cursor and are folded into the counts, some lie after it; this cluster has not reached any of their ids."""
    tickets = [await create(database, creator) for creator in (CHATBOT, CHATBOT, BOSS)]
    await until(database, "bool_and(xid < pg_snapshot_xmin(pg_current_snapshot())) FROM ticket_events")
    await counts.fold(database)
    end = await database.fetchval("SELECT xid::text::bigint + 1 FROM ticket_events ORDER BY xid DESC LIMIT 1") + AHEAD
    await change(database, tickets[0], "CLOSED", "status = 'CLOSED', closed_at = now()")
    await create(database, BOSS, priority="HIGH")
    await database.execute(f"UPDATE ticket_events SET xid = (xid::text::bigint + {AHEAD})::text::xid8")
    await database.execute(
        f"UPDATE event_log SET cluster = 'elsewhere', counted = '{end}:{end}:', service_counted = '{end}:{end}:',"
        f" fingerprinted = '{end}:{end}:', horizon = '{end}', horizon_at = now() - interval '1 day'"
    )
    return (await cursors_of(database)).seal(await position_at(database, f"{end}:{end}:"))


async def cursors_of(database: Database) -> StreamCursors:
    return StreamCursors(str(await database.fetchval("SELECT identity FROM event_log")))


async def fingerprint_of(database: Database) -> int:
    return Position.parse(await database.fetchval(f"SELECT {NOW}")).fingerprint


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = await Pool.open(database_url, size=2)
    yield opened
    await opened.close()


async def test_a_moved_log_gets_one_new_fingerprint_and_keeps_its_identity(
    database: Database, pool: Pool, old_cursor: str
) -> None:
    """Even if several processes start at once. Servers that were running already can open the new cursors."""
    before, cursors = await fingerprint_of(database), await cursors_of(database)
    one, other = await asyncio.gather(event_log.identity(pool), event_log.identity(pool))
    after = await fingerprint_of(database)
    assert one == other == await event_log.identity(pool)
    assert after == await fingerprint_of(database) != before
    new_cursor = StreamCursors(one).seal(await database.fetchval(f"SELECT {NOW}"))
    assert cursors.open(new_cursor) is not None
    found = await check_cursor(old_cursor, cursors, pool)
    assert isinstance(found, Reset) and found.reason is StreamResetReason.CURSOR_UNKNOWN
    assert await database.fetchval("SELECT cluster FROM event_log") == await database.fetchval(
        "SELECT system_identifier::text FROM pg_control_system()"
    )


async def test_a_log_promoted_to_another_timeline_or_copied_within_its_cluster_has_not_moved(
    database: Database, pool: Pool
) -> None:
    """Its transaction ids keep their meaning. Earlier versions stored the timeline and the database too."""
    await event_log.identity(pool)
    here = await database.fetchval("SELECT system_identifier::text FROM pg_control_system()")
    before = await fingerprint_of(database)
    for cluster in (f"{here}/7/5", here):
        await database.execute("UPDATE event_log SET cluster = $1", cluster)
        await event_log.identity(pool)
        assert await database.fetchval("SELECT cluster FROM event_log") == cluster
    assert await fingerprint_of(database) == before


async def test_a_log_that_has_not_moved_is_unchanged(database: Database, pool: Pool) -> None:
    rows = "SELECT to_jsonb(event_log.*), (SELECT jsonb_agg(e.*) FROM ticket_events e) FROM event_log"
    await event_log.identity(pool)
    await create(database, CHATBOT)
    before = await database.fetchrow(rows)
    await event_log.identity(pool)
    assert await database.fetchrow(rows) == before


async def test_the_counts_are_right_after_the_move_and_later(database: Database, pool: Pool) -> None:
    await event_log.identity(pool)
    for each in COUNTED:
        assert (
            await stored(database, each) == await counted(database, each) == await in_tickets(database, each) != set()
        )
    assert await counts.fold(database) == 0
    await create(database, CHATBOT, priority="LOW")
    assert await counts.fold(database) == 1
    for each in COUNTED:
        assert await stored(database, each) == await in_tickets(database, each)


async def test_the_new_fingerprint_is_committed_together_with_the_right_counts(database: Database, pool: Pool) -> None:
    """So that neither another starting process nor the next one after a crash sees wrong counts."""
    before = await fingerprint_of(database)
    async with database.transaction():
        await database.execute("LOCK TABLE ticket_counts IN SHARE MODE")
        starting = [asyncio.create_task(event_log.identity(pool)) for _ in range(2)]
        await until_blocked(database, 2)
        for task in starting:
            task.cancel()
        await asyncio.wait(starting)
    assert await fingerprint_of(database) == before
    await event_log.identity(pool)
    assert await fingerprint_of(database) != before
    for each in COUNTED:
        assert await counted(database, each) == await in_tickets(database, each)


async def test_the_move_of_a_long_log_is_exempt_from_the_statement_timeout(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that starts meanwhile waits for it."""
    for name in ("STATEMENT_TIMEOUT", "LOCK_TIMEOUT"):
        monkeypatch.setattr(engine, name, "500ms")
    pool = await Pool.open(database_url, size=2)
    before = await fingerprint_of(database)
    async with database.transaction():
        await database.execute("LOCK TABLE ticket_events IN SHARE MODE")
        starting = [asyncio.create_task(event_log.identity(pool)) for _ in range(2)]
        await until_blocked(database, 2)
        await asyncio.sleep(0.8)
    one, other = await asyncio.gather(*starting)
    assert one == other
    assert await fingerprint_of(database) != before
    await pool.close()


async def test_moved_events_lie_before_every_position_and_new_ones_are_not_pruned(
    database: Database, pool: Pool
) -> None:
    await event_log.identity(pool)
    position = Position.parse(await database.fetchval(f"SELECT {NOW}")).snapshot
    unseen = "SELECT count(*) FROM ticket_events WHERE NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot)"
    assert await database.fetchval(unseen, position) == 0
    await create(database, CHATBOT)
    assert await database.fetchval(unseen, position) == 1
    await until(database, "bool_and(xid < pg_snapshot_xmin(pg_current_snapshot())) FROM ticket_events")
    await counts.fold(database)
    for _ in range(2):
        await database.execute("UPDATE event_log SET horizon_at = now() - interval '1 day'")
        assert await event_log.prune(database, timedelta(days=1), timedelta(minutes=10)) == 0
    assert await database.fetchval("SELECT horizon < pg_snapshot_xmin($1::text::pg_snapshot) FROM event_log", position)


async def test_a_running_server_adopts_a_log_that_is_moved_under_it(
    database_url: str, database: Database, pool: Pool, tmp_path: Path
) -> None:
    await event_log.identity(pool)
    with callout_process(tmp_path, database_url=database_url, jwt_secret=SECRET) as process:
        async with Api(server_of(process, database_url)) as api, following(api) as screen:
            cursor = (await fetch_page(api))["cursor"]
            before = await fingerprint_of(database)
            await database.execute("UPDATE ticket_counts SET n = n + 1")
            await database.execute("UPDATE event_log SET cluster = 'elsewhere'")
            reset = await screen.next()
            assert (reset["__typename"], reset["reason"]) == ("StreamReset", "CURSOR_UNKNOWN")
            assert (await screen.next())["__typename"] == "StreamReady"
            assert await fingerprint_of(database) != before
            assert (await fetch_page(api, after=cursor))["reset"] == "CURSOR_UNKNOWN"
            assert (await fetch_page(api, after=reset["cursor"]))["reset"] is None
    for each in COUNTED:
        assert await counted(database, each) == await in_tickets(database, each)


async def test_a_server_on_a_moved_log_resets_cursors_and_has_the_right_counts(
    database_url: str, database: Database, old_cursor: str, tmp_path: Path
) -> None:
    tickets = await database.fetchrow(
        "SELECT count(*) AS all, count(*) FILTER (WHERE status = 'CLOSED') AS closed FROM tickets"
    )
    assert tickets is not None
    with callout_process(tmp_path, database_url=database_url, jwt_secret=SECRET) as process:
        async with Api(server_of(process, database_url)) as api:
            assert (await api("{ ticketCounts { all closed } }"))["ticketCounts"] == dict(tickets)
            page = await fetch_page(api, after=old_cursor)
            assert (page["nodes"], page["reset"]) == ([], "CURSOR_UNKNOWN")
            async with following(api, after=old_cursor) as screen:
                reset = await screen.next()
                assert (reset["__typename"], reset["reason"]) == ("StreamReset", "CURSOR_UNKNOWN")
                assert (await screen.next())["__typename"] == "StreamReady"
                ticket = await api.new_ticket()
                assert (await screen.next())["ticketId"] == ticket
            for cursor in (page["cursor"], reset["cursor"]):
                again = await fetch_page(api, after=cursor)
                assert ([node["ticketId"] for node in again["nodes"]], again["reset"]) == ([ticket], None)
            assert (await api("{ ticketCounts { all } }"))["ticketCounts"] == {"all": tickets["all"] + 1}
