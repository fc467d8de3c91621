"""Whether to partition the event log by month: events copied into a table as it is and into a partitioned one, and what
replays, look-ups, inserts and pruning cost on both. The numbers are in `docs/scaling.md`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

import asyncpg

from bench import database
from bench.cases import Connection
from bench.report import Row, print_table, show
from bench.technicians import TICKETS

EVENTS: Final = 1_000_000
MONTHS: Final = 12
BATCH: Final = 1_000  # events that a transaction writes, and that a step of pruning deletes
ROUNDS: Final = 200

PLAIN, PARTED = "events_plain", "events_by_month"
FIRST_MONTH: Final = "timestamptz '2025-01-01 00:00+00'"

_COLUMNS = "ticket_id, kind, actor_kind, actor_id, actor_name, before, after, public"
_TABLES = (
    f"DROP TABLE IF EXISTS {PLAIN}, {PARTED}",
    f"CREATE TABLE {PLAIN} (LIKE ticket_events INCLUDING DEFAULTS, PRIMARY KEY (id), UNIQUE (ticket_id, at))",
    # A unique index of a partitioned table has the column that it is partitioned by.
    f"CREATE TABLE {PARTED} (LIKE ticket_events INCLUDING DEFAULTS, PRIMARY KEY (id, at), UNIQUE (ticket_id, at))"
    " PARTITION BY RANGE (at)",
    *(
        f"CREATE TABLE {PARTED}_{month} PARTITION OF {PARTED} FOR VALUES"
        f" FROM ('2025-01-01 00:00+00'::timestamptz + interval '{month} months')"
        f" TO ('2025-01-01 00:00+00'::timestamptz + interval '{month + 1} months')"
        for month in range(MONTHS)
    ),
    *(f"CREATE INDEX ON {name} (xid)" for name in (PLAIN, PARTED)),
)
# The events there are, again and again, so many in a transaction, at times that go from the first month to the last.
_FILL = f"""
INSERT INTO {{table}} (at, {_COLUMNS})
SELECT {FIRST_MONTH} + $1 * interval '1 year' / {EVENTS} + place * interval '1 year' / {EVENTS}, {_COLUMNS}
FROM (
    SELECT {_COLUMNS}, row_number() OVER () - 1 AS place
    FROM (SELECT {_COLUMNS} FROM sampled WHERE number > $2 ORDER BY number LIMIT {BATCH}) AS chosen
) AS events"""
_AFTER = """
SELECT id FROM {table} WHERE xid >= pg_snapshot_xmin($1::text::pg_snapshot)
    AND NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot) ORDER BY at, id"""
_HISTORY = "SELECT id, kind, at FROM {table} WHERE ticket_id = $1 ORDER BY at DESC LIMIT 20"
_BY_ID = "SELECT ticket_id FROM {table} WHERE id = $1"
_INSERT = f"""
INSERT INTO {{table}} (at, {_COLUMNS})
SELECT $1::timestamptz + $2 * interval '1 microsecond', {_COLUMNS} FROM sampled WHERE number = $2"""
_DELETE = f"""
DELETE FROM {PLAIN} WHERE id IN (
    SELECT id FROM {PLAIN} WHERE at < {FIRST_MONTH} + interval '1 month' ORDER BY xid LIMIT {BATCH})"""
_WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"


def run(data_dir: Path) -> None:
    with database.prepared(data_dir, tickets=TICKETS) as url:
        rows = asyncio.run(_measured(url))
    print(f"{EVENTS:,} events in {MONTHS} months\n")
    print_table(("", "one table", "a partition for each month"), rows)


async def _measured(url: str) -> list[Row]:
    connection = await asyncpg.connect(url, server_settings={"jit": "off"})
    try:
        before = await _fill(connection)
        rows: list[Row] = [("size", *[await _size(connection, table) for table in (PLAIN, PARTED)])]
        sampled = await connection.fetch(f"SELECT id, ticket_id FROM {PLAIN} TABLESAMPLE SYSTEM (1) LIMIT {ROUNDS}")
        parted = await connection.fetch(f"SELECT id FROM {PARTED} TABLESAMPLE SYSTEM (1) LIMIT {ROUNDS}")
        tickets = [row["ticket_id"] for row in sampled]
        asked: list[tuple[str, str, list[Any], list[Any]]] = [
            (f"replay of {BATCH:,} events, ms", _AFTER, [before] * 20, [before] * 20),
            ("a ticket's history, ms", _HISTORY, tickets, tickets),
            ("an event by its id, ms", _BY_ID, [row["id"] for row in sampled], [row["id"] for row in parted]),
        ]
        for name, query, plain, by_month in asked:
            timed = await _timed(connection, query, PLAIN, plain), await _timed(connection, query, PARTED, by_month)
            rows.append((name, *timed))
        rows.append(("insert of one event, ms", *[await _inserts(connection, table) for table in (PLAIN, PARTED)]))
        rows.append(("pruning the first month", await _deleted(connection), await _dropped(connection)))
        rows.append(("size afterwards", *[await _size(connection, table) for table in (PLAIN, PARTED)]))
    finally:
        await connection.execute(f"DROP TABLE IF EXISTS {PLAIN}, {PARTED}, sampled")
        await connection.close()
    return rows


async def _fill(connection: Connection) -> str:
    """Fills both tables. Returns the position before the last transaction."""
    for statement in _TABLES:
        await connection.execute(statement)
    await connection.execute(f"""
        DROP TABLE IF EXISTS sampled;
        CREATE TABLE sampled AS SELECT row_number() OVER () AS number, {_COLUMNS} FROM ticket_events LIMIT 20000;
        CREATE INDEX ON sampled (number)""")
    count = await connection.fetchval("SELECT count(*) FROM sampled")
    position = ""
    for start in range(0, EVENTS, BATCH):
        show("events", start, EVENTS)
        position = await connection.fetchval("SELECT pg_current_snapshot()::text")
        async with connection.transaction():
            for table in (PLAIN, PARTED):
                await connection.execute(_FILL.format(table=table), start, start % (count - BATCH))
    await connection.execute(f"VACUUM ANALYZE {PLAIN}")
    await connection.execute(f"VACUUM ANALYZE {PARTED}")
    await connection.execute("CHECKPOINT")
    return position


async def _size(connection: Connection, table: str) -> str:
    query = """SELECT coalesce(sum(pg_total_relation_size(relid)), pg_total_relation_size($1::text::regclass))::bigint
        FROM pg_partition_tree($1::text::regclass) WHERE isleaf"""
    size = await connection.fetchval(query, table)
    return f"{size / 1e6:,.0f} MB"


async def _timed(connection: Connection, query: str, table: str, values: Sequence[Any]) -> str:
    statement = await connection.prepare(query.format(table=table))
    taken = []
    for value in values:
        began = perf_counter()
        await statement.fetch(value)
        taken.append(perf_counter() - began)
    return f"{1e3 * median(taken):.2f}"


async def _inserts(connection: Connection, table: str) -> str:
    """In transactions of their own, in the last month."""
    statement = await connection.prepare(_INSERT.format(table=table))
    last = await connection.fetchval(f"SELECT {FIRST_MONTH} + interval '1 year' - interval '1 second'")
    taken = []
    for number in range(ROUNDS):
        began = perf_counter()
        await statement.fetch(last, number + 1)
        taken.append(perf_counter() - began)
    return f"{1e3 * median(taken):.2f}"


async def _deleted(connection: Connection) -> str:
    """In steps, as `db/events/log.py` prunes, and with the vacuum that they need."""
    wal, began, steps = await connection.fetchval(_WAL), perf_counter(), 0
    while (await connection.execute(_DELETE)) != "DELETE 0":
        steps += 1
    deleted = perf_counter() - began
    await connection.execute(f"VACUUM {PLAIN}")
    written = await connection.fetchval(_WAL) - wal
    vacuumed = perf_counter() - began - deleted
    return f"{deleted:.1f} s, and {vacuumed:.1f} s of vacuum; {written / 1e6:,.0f} MB of log"


async def _dropped(connection: Connection) -> str:
    wal, began = await connection.fetchval(_WAL), perf_counter()
    await connection.execute(f"ALTER TABLE {PARTED} DETACH PARTITION {PARTED}_0 CONCURRENTLY")
    await connection.execute(f"DROP TABLE {PARTED}_0")
    written = await connection.fetchval(_WAL) - wal
    return f"{perf_counter() - began:.2f} s; {written / 1e6:,.1f} MB of log"
