"""What a server says and does while its database is away, cannot be written to, or has no connection left."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from db.postgres import embedded, migrate
from tests.helpers.api import Api, Server
from tests.helpers.clusters import clusters
from tests.helpers.database_checks import Database as Connection
from tests.helpers.database_checks import until, until_blocked
from tests.helpers.paths import databases
from tests.helpers.proxy import Proxy, connector, through
from tests.helpers.small_disk import small_disk
from tests.helpers.stress import SECRET, server_of, server_process
from tests.helpers.terminal import Terminal
from tests.helpers.valkey import Valkey

pytestmark = pytest.mark.slow

SECONDS = 30.0
TICKETS = "{ __typename tickets(first: 1) { nodes { id } } }"
OURS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'callout%'"
LEGACY = {"accept": "application/json"}


@asynccontextmanager
async def serving(directory: Path, url: str, **settings: str) -> AsyncIterator[Api]:
    """A client of a new server on the database."""
    stack = ExitStack()
    process = await asyncio.to_thread(stack.enter_context, server_process(directory, url, **settings))
    try:
        async with Api(server_of(process, url)) as api:
            yield api
    finally:
        await asyncio.to_thread(stack.close)


async def ready(api: Api) -> tuple[int, str | None]:
    """Returns the status of `/readyz` and the code of the problem that it names."""
    response = await api.http.get("/readyz")
    answer = response.json()
    (problem,) = answer.get("errors") or answer.get("problems") or [None]
    code = problem and problem.get("extensions", problem)["code"]
    return response.status_code, code


async def becomes(api: Api, status: int, code: str | None = None) -> None:
    async with asyncio.timeout(SECONDS):
        while await ready(api) != (status, code):  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.1)


async def ask(api: Api, document: str, **headers: str) -> httpx.Response:
    return await api.http.post("/graphql", json={"query": document}, headers=headers)


def at(url: str, database: str) -> str:
    """The URL of another database of the same PostgreSQL."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()


def writing(text: str = "x") -> str:
    return f"""mutation {{ customerCreate(input: {{name: "{text}", email: "{secrets.token_hex(8)}@example.com",
        accountNumber: "{secrets.token_hex(8)}"}}) {{ customer {{ id }} userErrors {{ code }} }} }}"""


def assert_not_done(response: httpx.Response) -> None:
    """The request has changed nothing, and can be sent again."""
    answer = response.json()
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAVAILABLE"]
    assert "data" not in answer
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


async def cut(database: Connection) -> None:
    """Ends the server's connections, so that it opens new ones."""
    ended = [row["pid"] for row in await database.fetch(f"SELECT pid, pg_terminate_backend(pid) {OURS}")]
    await until(database, f"NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ANY(ARRAY{ended}::int[]))")


# A PostgreSQL of their own


@pytest.fixture
def cluster() -> Iterator[Path]:
    """The data directory of a PostgreSQL that a test can stop, with a migrated database. As in `conftest.py`, it is not
    below pytest's own."""
    with tempfile.TemporaryDirectory(prefix="callout-tests-", dir=databases()) as name:
        with embedded.running(Path(name), durable=False) as url:
            migrate.upgrade(url)
        yield Path(name)


async def test_a_server_survives_a_failover_and_says_what_it_cannot_do(cluster: Path, tmp_path: Path) -> None:
    """Its database goes away, comes back as a standby, and is promoted."""
    with ExitStack() as primary:
        url = primary.enter_context(embedded.running(cluster))
        async with serving(tmp_path, url) as api:
            assert (await ask(api, writing())).status_code == 200
            await becomes(api, 200)
            primary.close()

            for response in await asyncio.gather(*(ask(api, each) for each in [TICKETS, writing()] * 50)):
                assert_not_done(response)
            for document in (TICKETS, writing()):
                old = await ask(api, document, **LEGACY)
                assert (old.status_code, old.headers.get("retry-after")) == (200, None)
            await becomes(api, 503, "DATABASE_UNREACHABLE")

            as_standby(cluster)
            with embedded.running(cluster):
                await becomes(api, 503, "DATABASE_READ_ONLY")
                assert "until it is promoted" in (await api.http.get("/readyz")).text
                assert (await ask(api, TICKETS)).status_code == 200
                for _ in range(20):
                    assert_not_done(await ask(api, writing()))
                terminal = Terminal(
                    database_url=url, database_wait="0", jwt_secret=SECRET, port=api.server.url.rpartition(":")[2]
                )
                sick = terminal("doctor")
                assert sick.exit_code == 1
                assert "✗ database  The database is a standby: promote it" in sick.stdout
                assert "✗ server    not ready (status 503)" in sick.stdout
                assert "until it is promoted" in sick.stdout
                assert terminal("migrate").stderr.startswith("Error: The database is a standby: promote it")
                database = await asyncpg.connect(url)
                await database.fetchval("SELECT pg_promote()")
                await database.close()
                await becomes(api, 200)
                await asyncio.sleep(1)  # so long nothing must fail before an outage is over
                assert (await ask(api, writing())).status_code == 200
                assert_logged_briefly(api.server)


def as_standby(cluster: Path) -> None:
    """Lets the stopped server start as a standby, which follows nobody."""
    (cluster / "postgres" / "standby.signal").touch()


def assert_logged_briefly(server: Server) -> None:
    said = [record["message"] for record in server.process.records("db.postgres.pool")]
    assert sorted(message.partition(":")[0].partition(",")[0] for message in said) == [
        "the database can be used again",
        "the database can be written to again",
        "the database cannot be used",
        "the database cannot be written to",
    ]
    assert "Traceback" not in server.process.log()
    assert "exception" not in server.process.log()


# A database of their own


async def test_connections_that_were_closed_cost_no_request(tmp_path: Path, fresh_url: str) -> None:
    """Neither where the server knows of it, nor where it learns of it only from what it sends next."""
    proxy = Proxy(connector(fresh_url))
    database = await asyncpg.connect(fresh_url)
    async with proxy.running() as port, serving(tmp_path, through(port, fresh_url), pubsub_url="memory://") as api:
        for unseen in (True, False):
            for document in (TICKETS, writing()):
                await asyncio.gather(*(ask(api, TICKETS) for _ in range(20)))
                if unseen:
                    proxy.hold()
                await cut(database)
                asking = [asyncio.create_task(ask(api, document)) for _ in range(15)]
                if unseen:
                    await proxy.held()
                    proxy.release()
                for response in await asyncio.gather(*asking):
                    assert "errors" not in response.json()
    await database.close()


async def test_a_ticket_whose_connection_is_lost_is_written_once(tmp_path: Path, fresh_url: str) -> None:
    """Its one statement is sent again in a transaction, whether it was lost on its way or committed before."""
    proxy = Proxy(connector(fresh_url))
    database = await asyncpg.connect(fresh_url)
    settings = {"pubsub_url": "memory://", "pool_size": "1"}
    async with proxy.running() as port, serving(tmp_path, through(port, fresh_url), **settings) as api:
        ticket = await api.new_ticket()
        for number, committed in enumerate((False, True, False, True)):
            for name, document in (("new", new_ticket), ("old", partial(update, ticket))):
                text = f"{name} {number}"
                written = f"count(*) = 1 FROM tickets WHERE subject = '{text}'"
                await ask(api, document("Prepared"))  # from now on the statement takes one round trip
                await until(database, LOOKED)
                proxy.hold()
                if not committed:
                    await cut(database)
                asking = asyncio.create_task(ask(api, document(text)))
                await proxy.held()
                if committed:
                    await until(database, written)
                    await proxy.close()
                proxy.release()
                (answer,) = (await asking).json()["data"].values()
                assert answer == {"ticket": {"subject": text}, "userErrors": []}
                assert await database.fetchval(f"SELECT {written}")
        assert await database.fetchval("SELECT version FROM tickets WHERE id = $1", ticket[4:]) == 1 + 4 * 2
        assert await database.fetchval("SELECT count(*) FROM ticket_events") == 1 + 4 * 2 * 2
    await database.close()


# The file worker looks for files once a second, and has just done so: it will not take the only connection.
LOOKED = """true FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'
    AND query LIKE '%UPDATE attachments SET due_at%'
    AND clock_timestamp() - state_change < interval '0.2 seconds' LIMIT 1"""


def new_ticket(subject: str) -> str:
    """Without a look-up of the contact's customer, so that it is written in one round trip."""
    return f"""mutation {{ ticketCreate(input: {{subject: "{subject}", description: "x", customerId: null,
        contact: {{name: "n", email: "n@example.com"}}}}) {{ ticket {{ subject }} userErrors {{ code }} }} }}"""


def update(ticket: str, subject: str) -> str:
    return f"""mutation {{ ticketUpdate(input: {{ticketId: "{ticket}", subject: "{subject}"}})
        {{ ticket {{ subject }} userErrors {{ code }} }} }}"""


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Its role's connections can be limited, unlike a superuser's."""
    role = urlsplit(database_url).path.strip("/").replace("callout", "limited")
    run(database_url, f"CREATE ROLE {role} LOGIN; GRANT postgres TO {role}")
    url = database_url.replace("postgres@", f"{role}@")
    with server_process(tmp_path_factory.mktemp("server"), url) as process:
        yield server_of(process, url)
    run(database_url, f"DROP ROLE {role}")


def run(url: str, statements: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(statements)
        await connection.close()

    asyncio.run(execute())


async def test_a_server_that_cannot_write_says_so(api: Api, database: Connection) -> None:
    name = await database.fetchval("SELECT current_database()")
    await becomes(api, 200)
    await database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await cut(database)
    await becomes(api, 503, "DATABASE_READ_ONLY")
    assert_not_done(await ask(api, writing()))
    assert (await ask(api, TICKETS)).status_code == 200
    await database.execute(f"SET default_transaction_read_only = off; ALTER DATABASE {name} RESET ALL")
    await cut(database)
    await becomes(api, 200)
    assert (await ask(api, writing())).status_code == 200


async def test_a_server_that_gets_no_connection_says_so(api: Api, database: Connection) -> None:
    role = urlsplit(api.server.database_url).username
    await becomes(api, 200)
    await database.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
    await cut(database)
    await becomes(api, 503, "DATABASE_CONNECTIONS_EXHAUSTED")
    assert_not_done(await ask(api, TICKETS))
    assert_not_done(await ask(api, writing()))
    await database.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
    await becomes(api, 200)
    assert (await ask(api, writing())).status_code == 200


async def test_a_mutation_whose_connection_ends_is_not_said_to_be_undone(
    api: Api, database: Connection, database_url: str
) -> None:
    """It could have been committed, so it must not be sent again without thinking."""
    watcher = await asyncpg.connect(database_url)
    async with database.transaction():
        await database.execute("LOCK TABLE customers IN SHARE MODE")
        asking = asyncio.create_task(ask(api, writing()))
        await until_blocked(watcher)
        await cut(watcher)
        response = await asking
    assert (response.status_code, response.headers.get("retry-after")) == (200, None)
    answer = response.json()
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAVAILABLE"]
    assert answer["data"] is None
    await watcher.close()


async def test_a_full_disk_is_reported_until_there_is_room_again(tmp_path: Path) -> None:
    """In a cluster of its own, which can make no checkpoint meanwhile."""
    with small_disk(40) as disk, clusters(1) as [cluster]:
        await cluster.start()
        async with on_disk(cluster.url, disk.path) as url, serving(tmp_path, url) as api:
            await becomes(api, 200)
            disk.fill()
            await becomes(api, 503, "DATABASE_FULL")
            async with asyncio.timeout(SECONDS):
                while (response := await ask(api, big())).status_code == 200:
                    """Fills the pages that have room."""
            assert_not_done(response)
            disk.free()
            await becomes(api, 200)
            assert (await ask(api, big())).status_code == 200


def big() -> str:
    """A mutation whose row is too large for the pages of others."""
    return f"""mutation {{ ticketCreate(input: {{subject: "s", description: "{secrets.token_hex(4_500)}",
        contact: {{name: "n", email: "n@example.com"}}}}) {{ ticket {{ id }} userErrors {{ code field }} }} }}"""


@asynccontextmanager
async def on_disk(url: str, disk: Path) -> AsyncIterator[str]:
    """A migrated, empty database whose files are on the disk."""
    admin = await asyncpg.connect(url, database="postgres")
    owner = os.stat(await admin.fetchval("SHOW data_directory"))
    location = disk / "tablespace"
    location.mkdir()
    os.chown(location, owner.st_uid, owner.st_gid)
    name = f"on_disk_{secrets.token_hex(6)}"
    await admin.execute(f"CREATE TABLESPACE {name} LOCATION '{location}'")
    await admin.execute(f"CREATE DATABASE {name} TABLESPACE {name}")
    await asyncio.to_thread(migrate.upgrade, at(url, name))
    try:
        yield at(url, name)
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.execute(f"DROP TABLESPACE {name}")
        await admin.close()


# The pub/sub server


async def test_a_server_without_its_pubsub_server_is_degraded(tmp_path: Path, fresh_url: str, valkey: Valkey) -> None:
    async with serving(tmp_path, fresh_url, pubsub_url=valkey.url) as api:
        terminal = Terminal(
            database_url=fresh_url, jwt_secret=SECRET, pubsub_url=valkey.url, port=api.server.url.rpartition(":")[2]
        )
        await becomes(api, 200)
        healthy = terminal("doctor")
        assert healthy.exit_code == 0
        assert f"✓ pubsub    {valkey.url} can be reached" in healthy.stdout
        await asyncio.to_thread(valkey.kill)
        await becomes(api, 200, "PUBSUB_UNREACHABLE")
        sick = terminal("doctor")
        assert sick.exit_code == 1
        assert f"✗ pubsub    {valkey.url} cannot be reached" in sick.stdout
        assert "✗ server    degraded on" in sick.stdout
        await asyncio.to_thread(valkey.start)
        await becomes(api, 200)
