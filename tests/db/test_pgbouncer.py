"""Behind the real PgBouncer Callout works as without it, or says at the start what to set. `make test-pgbouncer` runs
these tests; they need PgBouncer, and those of prepared statements its version 1.21 or newer."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest

from callout.database import DatabaseNotReady, DatabaseUnusable, wait_for
from db.postgres import embedded, pooler
from db.postgres.pool import Database, session_settings
from tests.conftest import at
from tests.helpers.api import Api
from tests.helpers.clusters import Cluster, ask
from tests.helpers.graphql_ws_client import WITHIN, following
from tests.helpers.pgbouncer import PROGRAM, PgBouncer, pgbouncer, remembers_statements
from tests.helpers.stress import SECRET, server_of, server_process
from tests.helpers.terminal import Terminal

LIMITS = (
    "ALTER ROLE CURRENT_USER SET idle_in_transaction_session_timeout = '500ms'",
    "ALTER ROLE CURRENT_USER SET jit = 'off'",
    "ALTER ROLE CURRENT_USER SET lock_timeout = '300ms'",
    "ALTER ROLE CURRENT_USER SET statement_timeout = '1s'",
)

needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="needs PgBouncer")
modes = pytest.mark.parametrize("mode", ["transaction", "session"])


def statements_of(mode: str) -> int:
    """How many prepared statements PgBouncer must remember. Skips the test if this version cannot."""
    if mode == "session":
        return 0
    if not remembers_statements():
        pytest.skip("needs PgBouncer 1.21 or newer")
    return 200


def settings_of(directory: Path, bouncer: PgBouncer) -> dict[str, str]:
    return {
        "env": "production",
        "jwt_secret": SECRET,
        "data_dir": str(directory),
        "database_url": bouncer.url,
        "database_direct_url": bouncer.direct_url,
        "database_wait": "0",
    }


async def refusal(**settings: str) -> str:
    """The sentence with which `callout notify` ends."""
    done = await asyncio.to_thread(Terminal(**settings), "notify")
    assert (done.exit_code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line.removeprefix("Error: ")


@needs_pgbouncer
@modes
async def test_listen_and_migrations_need_the_direct_url(tmp_path: Path, fresh_url: str, mode: str) -> None:
    async with pgbouncer(fresh_url, mode) as bouncer:
        settings = settings_of(tmp_path, bouncer)
        pooled = "is behind a connection pooler, which cannot carry LISTEN and migrations: set"
        instead = f"{pooled} CALLOUT_DATABASE_DIRECT_URL to the URL of PostgreSQL itself."
        wrong = settings | {"database_direct_url": bouncer.url}
        assert await refusal(**wrong) == f"The database of CALLOUT_DATABASE_URL {instead}"
        wrong |= {"database_direct_url": bouncer.url.replace("postgres@", "other@")}
        assert await refusal(**wrong) == f"The database of CALLOUT_DATABASE_DIRECT_URL {instead}"
        del settings["database_direct_url"]
        assert await refusal(**settings) == f"The database of CALLOUT_DATABASE_URL {instead}"


@needs_pgbouncer
async def test_a_pooler_that_loses_prepared_statements_is_refused(tmp_path: Path, fresh_url: str) -> None:
    async with pgbouncer(fresh_url, "transaction") as bouncer:
        await bouncer.alter(*LIMITS)
        settings = settings_of(tmp_path, bouncer)
        sentence = await refusal(**settings)
        assert sentence == (
            "The connection pooler of CALLOUT_DATABASE_URL loses prepared statements between transactions: use"
            " PgBouncer 1.21 or newer and set its `max_prepared_statements`, or set its `pool_mode` to `session`."
        )
        doctor = await asyncio.to_thread(Terminal(**settings), "doctor")
        assert f"✗ database  {sentence}" in doctor.stdout.splitlines()


@needs_pgbouncer
@modes
async def test_a_role_without_the_limits_is_refused_until_it_has_them(
    tmp_path: Path, fresh_url: str, mode: str
) -> None:
    async with pgbouncer(fresh_url, mode, statements=statements_of(mode)) as bouncer:
        sentence = await refusal(**settings_of(tmp_path, bouncer))
        assert sentence.startswith("The connection pooler of CALLOUT_DATABASE_URL does not pass on the limits")
        (statements,) = re.findall("`(ALTER.*?)`", sentence)
        names = re.findall(r"SET (\w+) = '(\w+)'", statements)
        limits = [("lock_timeout", "5s"), ("statement_timeout", "10s")]
        assert names == [("idle_in_transaction_session_timeout", "30s"), ("jit", "off"), *limits]
        await bouncer.alter(*statements.split("; "))
        await wait_for(fresh_url, 0, pool_url=bouncer.url)
        await bouncer.alter("ALTER ROLE CURRENT_USER SET lock_timeout = 0")
        with pytest.raises(DatabaseUnusable, match="run `ALTER ROLE CURRENT_USER SET lock_timeout = '5s'` as the role"):
            await wait_for(fresh_url, 0, pool_url=bouncer.url)


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        ({}, ""),
        ({"statement_timeout": "10000", "lock_timeout": "1ms"}, ""),
        ({"statement_timeout": "10001ms"}, "SET statement_timeout = '10s'"),
        ({"lock_timeout": "0"}, "SET lock_timeout = '5s'"),
        ({"idle_in_transaction_session_timeout": "1h"}, "SET idle_in_transaction_session_timeout = '30s'"),
        ({"jit": "on"}, "SET jit = 'off'"),
    ],
)
async def test_a_session_needs_all_limits_and_may_have_shorter_ones(
    fresh_url: str, given: dict[str, str], lacking: str
) -> None:
    needed = session_settings()
    connection = await asyncpg.connect(fresh_url, server_settings=needed | given)
    assert (await pooler.settings_to_alter(connection, needed)).removeprefix("ALTER ROLE CURRENT_USER ") == lacking
    await connection.close()


@needs_pgbouncer
@modes
async def test_the_limits_hold(fresh_url: str, mode: str) -> None:
    async with pgbouncer(fresh_url, mode, statements=statements_of(mode)) as bouncer:
        await bouncer.alter(*LIMITS)
        pool = await Database.open(bouncer.url)
        rows = await asyncio.gather(*(pool.fetchval("SELECT current_setting('timezone')") for _ in range(20)))
        assert {*rows} == {"UTC"}
        with pytest.raises(asyncpg.QueryCanceledError):
            await pool.fetch("SELECT pg_sleep(60)")
        async with pool.transaction() as holder:
            await holder.execute("LOCK alembic_version")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await pool.fetch("SELECT * FROM alembic_version")
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            async with pool.transaction() as idle:
                await asyncio.sleep(1)
                await idle.execute("SELECT 1")
        await pool.close()


@needs_pgbouncer
@modes
async def test_a_server_works_behind_it(tmp_path: Path, fresh_url: str, mode: str) -> None:
    """Many requests share few sessions, and the change of a ticket arrives at once."""
    async with pgbouncer(fresh_url, mode, statements=statements_of(mode)) as bouncer:
        await bouncer.alter(*(statement.replace("ms", "0ms") for statement in LIMITS))
        settings = settings_of(tmp_path, bouncer)
        direct = settings["database_direct_url"]
        with server_process(tmp_path, bouncer.url, database_direct_url=direct) as process:
            async with Api(server_of(process, fresh_url)) as api, following(api) as screen:
                direct_ones = {(f"callout {name}", embedded.SUPERUSER) for name in ("bell", "tail", "tokens")}
                all_of_them = direct_ones | {("callout", bouncer.role)}
                async with asyncio.timeout(WITHIN):
                    while await roles_of(fresh_url) != all_of_them:  # noqa: ASYNC110 (there is no event to wait for)
                        await asyncio.sleep(0.05)
                ticket = await api.new_ticket(subject="Siren will not stop")
                assert (await screen.next())["ticketId"] == ticket
                await asyncio.gather(*(asks(api, number) for number in range(100)))
        migrated = await asyncio.to_thread(Terminal(**settings), "migrate")
        assert (migrated.exit_code, "as before" in migrated.stdout) == (0, True)


async def roles_of(url: str) -> set[tuple[str, str]]:
    """The names of the sessions of Callout, and the roles of those who opened them."""
    connection = await asyncpg.connect(url)
    sessions = await connection.fetch(
        "SELECT DISTINCT application_name, usename FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name <> ''"
    )
    await connection.close()
    return {(name, role) for name, role in sessions}


async def asks(api: Api, number: int) -> None:
    """Asks in one of several forms, so that sessions must know several statements."""
    fields = ("subject", "status", "reference", "priority", "version")[: number % 5 + 1]
    found = await api(f"query($first: Int!) {{ tickets(first: $first) {{ nodes {{ {' '.join(fields)} }} }} }}", first=5)
    assert [*found["tickets"]["nodes"][0]] == [*fields]


@needs_pgbouncer
async def test_after_a_migration_the_sessions_must_be_new(fresh_url: str) -> None:
    """As `docs/operations.md` says: PgBouncer keeps the plans of statements whose result has other columns now."""
    async with pgbouncer(fresh_url, "transaction", statements=statements_of("transaction")) as bouncer:
        pool = await Database.open(bouncer.url, size=1)
        await pool.fetch("SELECT * FROM alembic_version")
        await ask(fresh_url, "ALTER TABLE alembic_version ADD COLUMN more int")
        with pytest.raises(asyncpg.FeatureNotSupportedError):
            await pool.fetch("SELECT * FROM alembic_version")
        await bouncer.alter()
        (row,) = await pool.fetch("SELECT * FROM alembic_version")
        assert "more" in row
        await pool.close()


async def test_both_urls_must_lead_to_the_same_database(two: list[Cluster]) -> None:
    first, second = two
    await first.start()
    await second.start()
    await wait_for(first.url, 0, pool_url=f"{first.url}&application_name=other")
    for other in (second.url, at(first.url, "postgres")):
        with pytest.raises(DatabaseNotReady, match="_URL and CALLOUT_DATABASE_DIRECT_URL lead to different databases"):
            await wait_for(first.url, 0, pool_url=other)
