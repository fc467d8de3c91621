"""Connection poolers such as PgBouncer: whether one stands in front of PostgreSQL, and whether Callout can use it.

In session mode a client keeps its session of PostgreSQL; in transaction mode it gets any free one for each transaction.
Statements here run in transactions, and are prepared without a name: a pooler that does not know prepared statements
carries nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONNECT_SECONDS = 10
ROUNDS = 10

_LACKING: Final = """
SELECT coalesce(string_agg(format('ALTER ROLE CURRENT_USER SET %s = %L', name, wanted), '; ' ORDER BY name), '')
FROM unnest($1::text[], $2::text[]) AS needed (name, wanted) JOIN pg_settings USING (name)
WHERE CASE vartype
    WHEN 'integer' THEN setting::int = 0 OR setting::int * interval '1 ms' > wanted::interval
    ELSE setting <> wanted
END"""

_PREPARED: Final = "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name = $1)"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection that also works behind a pooler without prepared statements."""
    connection = await asyncpg.connect(
        url, timeout=CONNECT_SECONDS, command_timeout=CONNECT_SECONDS, statement_cache_size=0
    )
    try:
        yield connection
    finally:
        connection.terminate()


async def is_pooled(url: str) -> bool:
    """Whether the URL leads to a pooler. Raises one of `pool.OUTAGE`."""
    async with connected(url) as connection:
        return await answers_for_postgresql(connection)


async def answers_for_postgresql(connection: Connection) -> bool:
    """Whether the connection ends at a pooler: that invents the process id that it gives to a client at the start."""
    return connection.get_server_pid() != await _backend(connection)


async def settings_to_alter(connection: Connection, needed: Mapping[str, str]) -> str:
    """The statements that give the role the settings that its sessions lack; a shorter timeout is as good. Empty if
    they have all."""
    async with connection.transaction():
        statements: str = await connection.fetchval(_LACKING, [*needed], [*needed.values()])
    return statements


async def loses_prepared_statements(one: Connection, other: Connection) -> bool:
    """Whether a statement that a client has prepared may be missing in its next transaction. `one` and `other` are
    connections to the same pooler."""
    return await _change_sessions(one, other) and not await _renames_prepared_statements(one)


async def _change_sessions(one: Connection, other: Connection) -> bool:
    """Whether the pooler gives transactions of the same client different sessions, or the same one to several. Two in
    a row of `one` reveal a pooler that takes its sessions in turn, `other` one that takes the last that became free."""
    sessions: set[int] = set()
    others: set[int] = set()
    for _ in range(ROUNDS):
        sessions |= {await _backend(one), await _backend(one)}
        others.add(await _backend(other))
    return len(sessions) > 1 or len(others) > 1 or sessions == others


async def _renames_prepared_statements(connection: Connection) -> bool:
    """Whether PostgreSQL knows a prepared statement by another name than the client: so does a pooler that prepares it
    again wherever it is missing."""
    name = f"callout_{secrets.token_hex(8)}"
    async with connection.transaction():
        statement = await connection.prepare(_PREPARED, name=name)
        as_named: bool = await statement.fetchval(name)
        if as_named:
            await connection.execute(f"DEALLOCATE {name}")  # the session may live on
    return not as_named


async def _backend(connection: Connection) -> int:
    async with connection.transaction():
        pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid
