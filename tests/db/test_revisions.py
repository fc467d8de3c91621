"""Which databases a version works with: what the migrations declare, what is stored, and what is made of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from alembic.script import ScriptDirectory

from db.postgres import migrate
from db.postgres.revisions import Code
from tests.db.test_migrations import REVISIONS, downgrade, upgrade
from tests.helpers.api import Server
from tests.helpers.database_checks import Database
from tests.helpers.stress import SECRET
from tests.helpers.terminal import Terminal
from tests.helpers.upgrading import connected

HEAD = REVISIONS[-1]
CODE = Code(("1", "2", "3"), oldest_database="2")
SCRIPTS = {script.revision: script.module for script in ScriptDirectory.from_config(migrate.config()).walk_revisions()}


@pytest.mark.parametrize(
    ("revision", "oldest_code", "misfit"),
    [
        ("3", "3", None),
        ("3", None, None),
        ("2", "1", None),
        ("1", "1", "at revision 1, not 3: run `callout migrate`"),
        (None, None, "at revision none, not 3: run `callout migrate`"),
        ("5", "3", None),
        ("5", "1", None),
        ("5", "4", "at revision 5, which needs code of 4 or newer, not 3: start a newer version of Callout"),
        (
            "5",
            None,
            "at revision 5, which this version of Callout does not know: start the version that migrated it, or a newer"
            " one",
        ),
    ],
)
def test_code_works_with_the_databases_that_it_or_the_database_names(
    revision: str | None, oldest_code: str | None, misfit: str | None
) -> None:
    assert CODE.misfit(revision, oldest_code) == misfit


# Declaring and storing


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_migration_declares_what_works_with_it(revision: str) -> None:
    """Both are its own revision or an older one, and neither is older than what the previous migration declares."""
    place = REVISIONS.index(revision)
    for name in ("oldest_code", "oldest_database"):
        declared = getattr(SCRIPTS[revision], name)
        assert declared in REVISIONS[: place + 1], name
        if place:
            assert declared >= getattr(SCRIPTS[REVISIONS[place - 1]], name), name


@pytest.mark.slow
async def test_each_step_stores_the_oldest_code_beside_the_revision(empty_database: str) -> None:
    async def stored() -> tuple[str, str]:
        async with connected(empty_database) as database:
            ((revision, oldest_code),) = await database.fetch("SELECT version_num, oldest_code FROM alembic_version")
            return revision, oldest_code

    for revision in REVISIONS:
        await upgrade(empty_database, revision)
        assert await stored() == (revision, SCRIPTS[revision].oldest_code)
    for revision in reversed(REVISIONS[:-1]):
        await downgrade(empty_database, revision)
        assert await stored() == (revision, SCRIPTS[revision].oldest_code)
    await downgrade(empty_database, "base")
    assert await asyncio.to_thread(migrate.current, empty_database) is None


async def test_a_database_that_an_older_version_migrated_gets_the_column_with_the_next_step(
    empty_database: str,
) -> None:
    await upgrade(empty_database, "0001")
    async with connected(empty_database) as database:
        await database.execute("ALTER TABLE alembic_version DROP COLUMN oldest_code")
        assert await asyncio.to_thread(migrate.current, empty_database) == "0001"
        await upgrade(empty_database, "0002")
        assert await database.fetchval("SELECT oldest_code FROM alembic_version") == SCRIPTS["0002"].oldest_code


# Serving


async def set_revision(database: Database, revision: str, oldest_code: str | None) -> None:
    await database.execute("UPDATE alembic_version SET version_num = $1, oldest_code = $2", revision, oldest_code)


@pytest.fixture
async def newer(database: Database) -> AsyncIterator[Database]:
    """A connection to the module's database, which gets its revision back after the test."""
    yield database
    await set_revision(database, HEAD, SCRIPTS[HEAD].oldest_code)


async def test_a_server_stays_ready_when_its_database_is_migrated_to_a_revision_that_it_works_with(
    server: Server, newer: Database
) -> None:
    await set_revision(newer, "9999", "9998")
    refused = await until_status(server, 503)
    assert refused.json()["errors"][0]["extensions"]["code"] == "DATABASE_NOT_MIGRATED"
    assert refused.json()["errors"][0]["message"] == (
        f"The database is at revision 9999, which needs code of 9998 or newer, not {HEAD}:"
        " start a newer version of Callout."
    )
    await set_revision(newer, "9999", HEAD)
    await until_status(server, 200)
    await set_revision(newer, REVISIONS[0], REVISIONS[0])
    assert "run `callout migrate`" in (await until_status(server, 503)).text


async def until_status(server: Server, status: int) -> httpx.Response:
    """Waits until /readyz answers with this status. Fails after twenty seconds."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        for _ in range(200):
            response = await client.get(f"{server.url}/readyz")
            if response.status_code == status:
                return response
            await asyncio.sleep(0.1)
    raise AssertionError(f"timed out waiting for {status}: {response.text}")


async def test_commands_work_with_a_newer_database_if_it_fits_and_name_the_remedy_otherwise(
    database_url: str, newer: Database
) -> None:
    callout = Terminal(env="production", database_url=database_url, jwt_secret=SECRET)
    at_home = Terminal(database_url=database_url, jwt_secret=SECRET)
    person = ("token", "--role", "technician", "--subject", "nobody@wire.test")
    await set_revision(newer, "9999", HEAD)
    assert (await asyncio.to_thread(callout, "migrate")).stdout == "At revision 9999, as before.\n"
    for command in (callout, at_home):
        assert "no technician" in (await asyncio.to_thread(command, *person)).stderr
    sound = await asyncio.to_thread(callout, "doctor")
    assert f"✓ schema    at revision 9999, with which this version works; its own is {HEAD}\n" in sound.stdout

    await set_revision(newer, "9999", "9999")
    for command, arguments in ((callout, ("migrate",)), (callout, person), (at_home, person)):
        refused = await asyncio.to_thread(command, *arguments)
        assert refused.exit_code == 1
        assert refused.stderr == (
            f"Error: The database is at revision 9999, which needs code of 9999 or newer, not {HEAD}:"
            " start a newer version of Callout.\n"
        )
    assert "✗ schema    at revision 9999, which needs" in (await asyncio.to_thread(callout, "doctor")).stdout
