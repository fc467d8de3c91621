"""The event log in another cluster: restored from a dump, its transaction ids mean nothing there."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from db import counts, event_log
from db.cursors import StreamCursors
from db.engine import Database as Pool
from db.positions import NOW
from tests.api import Api
from tests.behind import Database, until
from tests.conftest import at
from tests.counting import COUNTED, change, counted, create, in_tickets, taken_in
from tests.fire import SECRET, known
from tests.live import following
from tests.process import callout_process
from tests.test_live import asked

CHATBOT, BOSS = ("SERVICE", "chatbot"), ("ADMIN", "boss")
AHEAD = 1_000_000_000  # transactions that the other cluster has had more


@pytest.fixture
async def old_cursor(fresh_url: str) -> str:
    """A cursor of the log before it moved: some events lie before it and some after, of whose transactions the
    cluster that they move to has had none yet. The counts have taken in what lies before."""
    database = await asyncpg.connect(fresh_url)
    tickets = [await create(database, creator) for creator in (CHATBOT, CHATBOT, BOSS)]
    await until(database, "bool_and(xid < pg_snapshot_xmin(pg_current_snapshot())) FROM ticket_events")
    await counts.fold(database)
    await change(database, tickets[0], "CLOSED", "status = 'CLOSED', closed_at = now()")
    await create(database, BOSS, priority="HIGH")
    await database.execute(f"UPDATE ticket_events SET xid = (xid::text::bigint + {AHEAD})::text::xid8")
    third = "(SELECT (xid::text::bigint + 1)::text FROM ticket_events ORDER BY at, id OFFSET 2 LIMIT 1)"
    await database.execute(
        f"UPDATE event_log SET counted = ({third} || ':' || {third} || ':')::pg_snapshot, horizon = {third}::xid8"
    )
    await database.execute("UPDATE event_log SET service_counted = counted, horizon_at = now() - interval '1 day'")
    identity, position = await database.fetchrow("SELECT identity::text, counted::text FROM event_log") or ("", "")
    await database.close()
    return StreamCursors(identity).seal(position)


@pytest.fixture
async def moved_url(postgres: str, fresh_url: str, old_cursor: str) -> AsyncIterator[str]:
    """The database with its rows in another place."""
    source, name = urlsplit(fresh_url).path[1:], f"callout_moved_{secrets.token_hex(6)}"
    server = await asyncpg.connect(at(postgres, "postgres"))
    await server.execute(f"CREATE DATABASE {name} TEMPLATE {source}")
    yield at(postgres, name)
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@pytest.fixture
async def moved(moved_url: str) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(moved_url)
    yield connection
    await connection.close()


@pytest.fixture
async def pool(moved_url: str) -> AsyncIterator[Pool]:
    opened = await Pool.open(moved_url, size=2)
    yield opened
    await opened.close()


async def test_a_log_that_has_moved_is_another_one_and_stays_that(moved: Database, pool: Pool, old_cursor: str) -> None:
    """Whichever processes look at once."""
    before = await moved.fetchval("SELECT identity::text FROM event_log")
    one, other = await asyncio.gather(event_log.identity(pool), event_log.identity(pool))
    assert one == other == await event_log.identity(pool) != before
    assert StreamCursors(before).open(old_cursor) is not None
    assert StreamCursors(one).open(old_cursor) is None
    assert await moved.fetchval("SELECT cluster FROM event_log") == await moved.fetchval(
        "SELECT format('%s/%s/%s', system_identifier, timeline_id, (SELECT oid FROM pg_database"
        " WHERE datname = current_database())) FROM pg_control_system(), pg_control_checkpoint()"
    )


async def test_a_log_that_has_not_moved_stays_as_it_is(moved: Database, pool: Pool) -> None:
    rows = "SELECT to_jsonb(event_log.*), (SELECT jsonb_agg(e.*) FROM ticket_events e) FROM event_log"
    await event_log.identity(pool)
    await create(moved, CHATBOT)
    before = await moved.fetchrow(rows)
    await event_log.identity(pool)
    assert await moved.fetchrow(rows) == before


async def test_the_counts_are_right_after_the_move_and_go_on(moved: Database, pool: Pool) -> None:
    await event_log.identity(pool)
    for each in COUNTED:
        assert await taken_in(moved, each) == await counted(moved, each) == await in_tickets(moved, each) != set()
    assert await counts.fold(moved) == 0
    await create(moved, CHATBOT, priority="LOW")
    assert await counts.fold(moved) == 1
    for each in COUNTED:
        assert await taken_in(moved, each) == await in_tickets(moved, each)


async def test_what_has_moved_lies_before_every_position_and_what_is_new_is_not_pruned(
    moved: Database, pool: Pool
) -> None:
    await event_log.identity(pool)
    position = await moved.fetchval(f"SELECT {NOW}")
    unseen = "SELECT count(*) FROM ticket_events WHERE NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot)"
    assert await moved.fetchval(unseen, position) == 0
    await create(moved, CHATBOT)
    assert await moved.fetchval(unseen, position) == 1
    await until(moved, "bool_and(xid < pg_snapshot_xmin(pg_current_snapshot())) FROM ticket_events")
    await counts.fold(moved)
    for _ in range(2):
        await moved.execute("UPDATE event_log SET horizon_at = now() - interval '1 day'")
        assert await event_log.prune(moved, timedelta(days=1), timedelta(minutes=10)) == 0
    assert await moved.fetchval("SELECT horizon < pg_snapshot_xmin($1::text::pg_snapshot) FROM event_log", position)


async def test_a_server_on_a_log_that_has_moved_resets_cursors_and_counts_right(
    moved_url: str, old_cursor: str, tmp_path: Path
) -> None:
    with callout_process(tmp_path, database_url=moved_url, jwt_secret=SECRET) as process:
        async with Api(known(process, moved_url)) as api:
            tabs = await api("{ ticketCounts { all open closed } }")
            assert tabs == {"ticketCounts": {"all": 4, "open": 3, "closed": 1}}
            page = await asked(api, after=old_cursor)
            assert (page["nodes"], page["reset"]) == ([], "CURSOR_UNKNOWN")
            async with following(api, after=old_cursor) as screen:
                reset = await screen.next()
                assert (reset["__typename"], reset["reason"]) == ("StreamReset", "CURSOR_UNKNOWN")
                assert (await screen.next())["__typename"] == "StreamReady"
                ticket = await api.new_ticket()
                assert (await screen.next())["ticketId"] == ticket
            for cursor in (page["cursor"], reset["cursor"]):
                again = await asked(api, after=cursor)
                assert ([node["ticketId"] for node in again["nodes"]], again["reset"]) == ([ticket], None)
            assert (await api("{ ticketCounts { all } }"))["ticketCounts"] == {"all": 5}
