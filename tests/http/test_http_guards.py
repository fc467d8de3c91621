"""The HTTP layer around GraphQL: bodies, request ids, headers, health and the log."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callout import health
from callout.auth import authenticator as auth
from callout.health import DatabaseNotMigrated, DatabaseUnreachable, Readiness
from callout.http import access_log, guard
from callout.http.access_log import AccessLog
from callout.http.client_address import ClientAddresses
from callout.http.context import CURRENT, RequestInfo
from callout.http.guard import RequestGuard, read_body
from callout.http.server import BoundedProtocol
from callout.logs import JsonFormatter, TextFormatter
from db.enums import Role
from db.errors import RateLimited
from db.postgres import migrate
from tests.helpers.api import Server

QUERY = json.dumps({"query": "{ __typename }"}).encode()
BODY_MAX = 1_048_576


@pytest.fixture
def credential(server: Server) -> str:
    return auth.mint(server.settings, role=Role.ADMIN, subject="boss", name="The Boss", ttl=600)


@pytest.fixture
async def client(server: Server, credential: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {credential}", "content-type": "application/json"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30, verify=False) as client:
        yield client


def code_of(response: httpx.Response) -> str:
    """Returns the code of the response's only error, after checking the error's form."""
    (error,) = response.json()["errors"]
    assert error["extensions"]["requestId"] == response.headers["x-request-id"]
    assert error.keys() == {"message", "extensions"}
    code: str = error["extensions"]["code"]
    return code


def padded(size: int) -> bytes:
    """Returns a query of exactly `size` bytes."""
    return QUERY + b" " * (size - len(QUERY))


async def test_a_body_of_a_mebibyte_is_accepted_and_a_larger_one_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.post("/graphql", content=padded(BODY_MAX))).status_code == 200
    response = await client.post("/graphql", content=padded(BODY_MAX + 1))
    assert (response.status_code, code_of(response)) == (413, "BODY_TOO_LARGE")
    # The connection can still be used.
    assert (await client.post("/graphql", content=QUERY)).status_code == 200


async def test_a_body_without_a_length_is_counted_as_it_arrives(client: httpx.AsyncClient) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        whole = padded(size)
        for start in range(0, size, 100_000):
            yield whole[start : start + 100_000]

    assert (await client.post("/graphql", content=chunks(BODY_MAX))).status_code == 200
    response = await client.post("/graphql", content=chunks(BODY_MAX + 1))
    assert (response.status_code, code_of(response)) == (413, "BODY_TOO_LARGE")


async def test_a_body_that_announces_too_great_a_length_is_refused_before_it_is_sent(
    server: Server, credential: str
) -> None:
    """A client that sends `Expect: 100-continue` does not upload the body at all."""
    async with connection(server.url) as (reader, writer):
        writer.write(head(credential, f"Content-Length: {100 * BODY_MAX}", "Expect: 100-continue"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")


async def test_an_endless_body_is_refused_while_it_arrives(server: Server, credential: str) -> None:
    async with connection(server.url) as (reader, writer):
        writer.write(head(credential, "Transfer-Encoding: chunked"))
        megabyte = b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n"
        for _ in range(100):
            writer.write(megabyte)
            await writer.drain()
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_does_not_arrive_in_time_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    """One body never arrives, another one arrives a byte at a time."""
    assert guard.BODY_SECONDS == 10
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.5)
    async with serving(RequestGuard(faulty, AccessLog(), ClientAddresses(()))) as url:
        await asyncio.gather(*(assert_timed_out(url, drip) for drip in (b"", b"x")))


async def assert_timed_out(url: str, drip: bytes) -> None:
    async with connection(url) as (reader, writer):
        writer.write(head("", "Content-Length: 1000"))
        answer = asyncio.create_task(all_of(reader))
        async with asyncio.timeout(10):
            while not answer.done():
                writer.write(drip)
                await asyncio.sleep(0.05)
        status, body = answer.result().split(b"\r\n", 1)
        assert status == b"HTTP/1.1 408 Request Timeout"
        assert b"BODY_TIMEOUT" in body


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """Returns everything received until the connection ends, by close or by reset: the server may close it while the
    client still writes."""
    received = b""
    with suppress(ConnectionResetError):
        while chunk := await reader.read(65_536):
            received += chunk
    return received


async def test_a_client_that_disconnects_mid_body_affects_no_other_request(
    server: Server, client: httpx.AsyncClient, credential: str
) -> None:
    async with connection(server.url) as (_, writer):
        writer.write(head(credential, "Content-Length: 1000") + b"{")
        await writer.drain()
    assert (await client.post("/graphql", content=QUERY)).status_code == 200


def head(credential: str, *headers: str) -> bytes:
    lines = ["POST /graphql HTTP/1.1", "Host: callout", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Authorization: Bearer {credential}", "", ""]).encode()


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize("given", ["7", "018f2f5e-8f5e-7cc0-b1f4-5b1c2d3e4f50", "a.b_c-D", "x" * 64])
async def test_a_callers_request_id_is_kept(client: httpx.AsyncClient, given: str) -> None:
    response = await client.post("/graphql", content=QUERY, headers={"x-request-id": given})
    assert response.headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", 'a"b', "<script>", "ä", "{}", "a,b"])
async def test_an_unsafe_request_id_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    headers = {b"x-request-id": given.encode()}
    first = await client.post("/graphql", content=QUERY, headers=headers)
    second = await client.post("/graphql", content=QUERY, headers=headers)
    ids = {response.headers["x-request-id"] for response in (first, second)}
    assert len(ids) == 2
    assert given not in ids


async def test_errors_carry_the_request_id(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/graphql", content=QUERY, headers={"x-request-id": "mine", "authorization": "Bearer x"}
    )
    assert (response.status_code, code_of(response)) == (401, "UNAUTHENTICATED")
    assert response.headers["x-request-id"] == "mine"


@pytest.mark.parametrize("path", ["/graphql", "/healthz", "/nowhere"])
async def test_no_response_may_be_cached_or_sniffed(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, content=QUERY)
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_unknown_paths_and_methods_get_errors_of_the_same_form(client: httpx.AsyncClient) -> None:
    nowhere = await client.get("/nowhere")
    assert (nowhere.status_code, code_of(nowhere)) == (404, "NOT_FOUND")
    wrong = await client.delete("/graphql")
    assert (wrong.status_code, code_of(wrong)) == (405, "METHOD_NOT_ALLOWED")
    assert wrong.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    wrong = await client.post("/healthz")
    assert (wrong.status_code, code_of(wrong)) == (405, "METHOD_NOT_ALLOWED")
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
def test_a_refusal_has_the_media_type_that_the_client_accepts(server: Server, accept: str) -> None:
    response = httpx.post(f"{server.url}/graphql", content=QUERY, headers={"accept": accept})
    assert response.status_code == 401
    assert response.headers["content-type"].split(";")[0] == accept


# Health


def test_health_needs_no_token(server: Server) -> None:
    for path, status in (("/healthz", "alive"), ("/readyz", "ready")):
        response = httpx.get(server.url + path)
        assert (response.status_code, response.json()) == (200, {"status": status})


def test_the_version_needs_no_token(server: Server) -> None:
    response = httpx.get(f"{server.url}/version")
    assert (response.status_code, response.json()) == (200, {"version": metadata.version("callout")})


async def test_probes_are_logged_only_where_they_fail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "callout.access")
    log = AccessLog()
    for path, status in (("/healthz", 200), ("/readyz", 200), ("/readyz", 503), ("/graphql", 200)):
        log.add({"method": "GET", "path": path}, status, 0.001, RequestInfo("1"))
    log.flush()
    shown = [(entry.fields["path"], entry.fields["status"], entry.levelname) for entry in caplog.records]  # type: ignore[attr-defined]
    assert shown == [("/readyz", 503, "ERROR"), ("/graphql", 200, "INFO")]


async def test_a_server_is_not_ready_until_its_database_is_migrated(server: Server) -> None:
    name = f"unmigrated_{os.getpid()}"
    admin = await asyncpg.connect(server.database_url)
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        async with asyncpg.create_pool(server.database_url, database=name, min_size=1, max_size=1) as pool:
            with pytest.raises(DatabaseNotMigrated):
                await Readiness(pool, migrate.code()).check()
            await pool.execute("CREATE TABLE alembic_version (version_num text)")
            await pool.execute("INSERT INTO alembic_version VALUES ('an older one')")
            with pytest.raises(DatabaseNotMigrated):
                await Readiness(pool, migrate.code()).check()
            await pool.execute("UPDATE alembic_version SET version_num = $1", migrate.head())
            await Readiness(pool, migrate.code()).check()
    finally:
        await admin.execute(f"DROP DATABASE {name}")
        await admin.close()


async def test_a_silent_database_is_reported_unreachable_in_time(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (health.ANSWER_SECONDS, health.REMEMBER_SECONDS) == (2, 1)
    monkeypatch.setattr(health, "REMEMBER_SECONDS", 0.1)
    async with silenceable(server.database_url, tmp_path) as (port, silence):
        pool = await asyncpg.create_pool(server.database_url, host=str(tmp_path), port=port, min_size=1, max_size=2)
        readiness = Readiness(pool, migrate.code())
        await readiness.check()
        monkeypatch.setattr(health, "ANSWER_SECONDS", 0.3)
        silence.set()
        await asyncio.sleep(0.1)  # the cached result expires
        for _ in range(2):
            async with asyncio.timeout(5):
                with pytest.raises(DatabaseUnreachable):
                    await readiness.check()
    await readiness.close()
    pool.terminate()


async def test_a_closed_pool_is_reported_as_an_unreachable_database(server: Server) -> None:
    async with asyncpg.create_pool(server.database_url, min_size=1, max_size=1) as pool:
        readiness = Readiness(pool, migrate.code())
    with pytest.raises(DatabaseUnreachable) as refusal:
        await readiness.check()
    assert refusal.value.message == "The database is not responding."


@asynccontextmanager
async def silenceable(url: str, directory: Path) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Forwards connections from a Unix socket in `directory` to the database. Yields the port in the socket's name,
    and an event; once it is set, nothing is forwarded any more, but connections stay open."""
    parts = urlsplit(url)
    host, port = parse_qs(parts.query).get("host", [parts.hostname or ""])[0], parts.port or 5432
    silence = asyncio.Event()
    ways: set[asyncio.StreamWriter] = set()
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ways.add(writer)
        while data := await reader.read(65_536):
            if silence.is_set():
                await asyncio.Event().wait()
            writer.write(data)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if host.startswith("/"):
            there = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            there = await asyncio.open_connection(host, port)
        pumps.update(asyncio.create_task(pump(*pair)) for pair in ((reader, there[1]), (there[0], writer)))

    server = await asyncio.start_unix_server(accept, directory / f".s.PGSQL.{port}")
    try:
        yield port, silence
    finally:
        server.close()
        for task in pumps:
            task.cancel()
        for way in ways:
            way.transport.abort()
        await asyncio.gather(*pumps, return_exceptions=True)


# Faults and the log


async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
    """An application with bugs."""
    await read_body(scope, receive)
    if scope["path"] == "/half":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    raise RuntimeError("the password is 12345")


async def test_an_unhandled_exception_is_logged_and_not_sent_to_the_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        serving(RequestGuard(faulty, AccessLog(), ClientAddresses(()))) as url,
        httpx.AsyncClient(base_url=url, verify=False) as client,
    ):
        response = await client.post("/", content=b"{}", headers={"x-request-id": "mine"})
    assert (response.status_code, code_of(response)) == (500, "INTERNAL")
    assert "password" not in response.text
    (fault,) = [record for record in caplog.records if record.name == "callout.http.guard"]
    assert "the password is 12345" in (fault.exc_text or "")


async def limited(scope: Scope, receive: Receive, send: Send) -> None:
    raise RateLimited("Too many.", 1.5)


async def test_a_rate_limit_outside_an_operation_is_429_with_retry_after() -> None:
    async with (
        serving(RequestGuard(limited, AccessLog(), ClientAddresses(()))) as url,
        httpx.AsyncClient(base_url=url, verify=False) as client,
    ):
        response = await client.post("/", content=b"{}")
    assert (response.status_code, code_of(response), response.headers["retry-after"]) == (429, "RATE_LIMITED", "2")


async def test_a_fault_after_the_response_has_started_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        serving(RequestGuard(faulty, AccessLog(), ClientAddresses(()))) as url,
        httpx.AsyncClient(base_url=url, verify=False) as client,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/half", content=b"{}")
    assert [record for record in caplog.records if record.name == "callout.http.guard"]


async def guarded(
    app: ASGIApp,
    *received: Message,
    headers: Sequence[tuple[bytes, bytes]] = (),
    log: AccessLog | None = None,
) -> list[Message]:
    """Returns the messages that the guard sends when the application receives `received`."""
    sent: list[Message] = []
    messages = iter(received)

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": list(headers)}
    lines = log or AccessLog()
    await RequestGuard(app, lines, ClientAddresses(()))(scope, receive, send)
    if log is None:
        lines.flush()
    return sent


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the request's body in bytes."""
    body = b"%d" % len(await read_body(scope, receive))
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [
        ([BODY_MAX], True),
        ([BODY_MAX - 1, 1], True),
        ([0, BODY_MAX], True),
        ([BODY_MAX, 0], True),
        ([BODY_MAX + 1], False),
        ([BODY_MAX, 1], False),
        ([1, BODY_MAX], False),
    ],
)
async def test_a_body_of_several_parts_is_limited_to_a_mebibyte(sizes: list[int], taken: bool) -> None:
    parts = [part(b" " * size, more=number < len(sizes)) for number, size in enumerate(sizes, 1)]
    start, answer = await guarded(echo, *parts)
    assert (start["status"], taken) in ((200, True), (413, False))
    assert (answer["body"] == b"%d" % BODY_MAX) is taken


async def test_the_rest_of_too_large_a_body_is_not_received() -> None:
    """Whether by its declared length or by its parts: receiving another message would raise here."""
    for length in (b"1048577", b"9999999", b"10000000", b"1" + b"0" * 5_000):
        (start, _) = await guarded(echo, headers=[(b"content-length", length)])
        assert start["status"] == 413
    (start, _) = await guarded(echo, part(b" " * BODY_MAX), part(b" "))
    assert start["status"] == 413


async def test_a_client_that_disconnects_is_sent_nothing_and_logged_as_499(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    for received in ([{"type": "http.disconnect"}], [part(b"{"), {"type": "http.disconnect"}]):
        assert await guarded(echo, *received) == []
    assert logged(caplog) == [("INFO", 499, None)] * 2


async def test_the_request_context_ends_with_the_response(caplog: pytest.LogCaptureFixture) -> None:
    """Later log lines do not carry its request id. A fault is logged as an error, a refusal is not."""
    caplog.set_level(logging.INFO)
    await guarded(echo, part(b"", more=False))
    await guarded(faulty, part(b"", more=False))
    await guarded(echo, headers=[(b"content-length", b"9999999")])
    assert CURRENT.get() is None
    assert logged(caplog) == [("INFO", 200, None), ("ERROR", 500, "INTERNAL"), ("INFO", 413, "BODY_TOO_LARGE")]


async def test_log_lines_are_written_in_batches_and_those_of_faults_immediately(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault's line follows those of earlier requests. Each line has the time of its own request."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(access_log, "DELAY_SECONDS", 0.2)
    log = AccessLog()
    for _ in range(2):
        await guarded(echo, part(b"", more=False), log=log)
    answered = time.time()
    assert logged(caplog) == []
    await asyncio.sleep(0.3)
    assert logged(caplog) == [("INFO", 200, None)] * 2
    assert all(record.created <= answered for record in caplog.records)
    caplog.clear()
    await guarded(echo, part(b"", more=False), log=log)
    await guarded(faulty, part(b"", more=False), log=log)
    assert logged(caplog) == [("INFO", 200, None), ("ERROR", 500, "INTERNAL")]


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int, str | None]]:
    """Returns the level, status and code of each line in the access log."""
    lines = [record for record in caplog.records if record.name == "callout.access"]
    return [(line.levelname, line.__dict__["fields"]["status"], line.__dict__["fields"]["code"]) for line in lines]


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serves the application with a real server in this process; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=BoundedProtocol, lifespan="off", ws="none", log_config=None)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


def test_each_request_is_logged_in_one_line_without_secrets(server: Server, credential: str) -> None:
    query = {
        "query": "query Named($who: String) { customers(search: $who) { totalCount } }",
        "variables": {"who": "private@x.test"},
    }
    unknown_key = "callout_" + "k" * 43
    with httpx.Client(base_url=server.url) as client:

        def line_of(method: str, path: str, token: str, content: bytes) -> dict[str, Any]:
            headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
            response = client.request(method, path, content=content, headers=headers)
            return line(server, response.headers["x-request-id"])

        served = line_of("POST", "/graphql", credential, json.dumps(query).encode())
        refused = line_of("POST", "/graphql?token=in-the-query", unknown_key, json.dumps(query).encode())
        malformed = line_of("POST", "/graphql", credential, b"{nonsense")
        nowhere = line_of("GET", "/nowhere%0A%1b[31m" + "y" * 500, credential, b"")

    assert served.pop("time").endswith("+00:00")
    assert 0 < served.pop("ms") < 5_000
    assert 1 < served.pop("cost") < 100
    assert len(served.pop("requestId")) == 24
    assert served == {
        "level": "INFO",
        "logger": "callout.access",
        "message": "request",
        "method": "POST",
        "path": "/graphql",
        "status": 200,
        "operation": "Named",
        "role": "ADMIN",
        "viewer": "boss",
        "client": "127.0.0.1",
    }
    assert (refused["status"], refused["code"]) == (401, "UNAUTHENTICATED")
    assert refused["reason"] == "unknown or revoked"
    assert malformed["status"] == 400
    assert (nowhere["path"][:15], len(nowhere["path"])) == ("/nowhere\n\x1b[31my", 200)
    log = server.process.log()
    for private in (server.settings.jwt_secret or "", credential, unknown_key, "in-the-query", "private@x", "nonsense"):
        assert private not in log


def line(server: Server, request_id: str) -> dict[str, Any]:
    """Returns the request's line in the access log, which is written after the response."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for found in server.process.records("callout.access"):
            if found["requestId"] == request_id:
                return found
        time.sleep(0.05)
    raise AssertionError(f"no line for {request_id}")


def test_warnings_and_unretrieved_exceptions_are_logged() -> None:
    script = """
import asyncio, gc, logging, warnings
from callout import logs
from callout.settings import Settings

early = logging.getLogger("early")
logs.configure(Settings(jwt_secret="x" * 32, log_format="json"))
early.info("made before the log was configured")
warnings.warn("a warning", stacklevel=1)

async def fail(): raise ValueError("forgotten")

async def main():
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    del task
    gc.collect()

asyncio.run(main())
logging.getLogger("uvicorn.error").info("from uvicorn")
logging.getLogger("uvicorn.access").info("not twice")
logs.configure(Settings(jwt_secret="x" * 32, log_format="json", log_level="error"))
early.warning("not severe enough")
early.error("severe enough")
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("early", "INFO"),
        ("py.warnings", "WARNING"),
        ("asyncio", "ERROR"),
        ("uvicorn.error", "INFO"),
        ("early", "ERROR"),
    ]
    assert "a warning" in lines[1]["message"]
    assert "ValueError: forgotten" in lines[2]["exception"]


def test_the_text_log_escapes_control_characters() -> None:
    shown = TextFormatter(coloured=False).format(record("red \x1b[31m\nnew line", {"path": "/ä\u2028b"}))
    assert shown.endswith(r"INFO    callout.test: red \x1b[31m\nnew line path=/ä\u2028b")
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO", shown)


def test_the_text_log_is_coloured_only_on_a_terminal_and_ends_with_the_traceback() -> None:
    failed = record("failed", {})
    try:
        raise ValueError("forgotten")
    except ValueError:
        failed.exc_info = sys.exc_info()
    first, *below = TextFormatter(coloured=True).format(failed).splitlines()
    assert (first[:5], first[-10:]) == ("\x1b[32m", "failed\x1b[0m")
    assert below[-1] == "ValueError: forgotten"
    assert "\x1b" not in TextFormatter(coloured=False).format(failed)


def test_a_log_line_has_its_time_and_request_id() -> None:
    made = record("done", {"operation": "Named"})
    made.created = 1_795_421_700.25
    context = CURRENT.set(RequestInfo("mine"))
    try:
        logged_fields = json.loads(JsonFormatter().format(made))
        assert TextFormatter(coloured=False).format(made).endswith("callout.test: done requestId=mine operation=Named")
    finally:
        CURRENT.reset(context)
    assert logged_fields == {
        "time": "2026-11-23T08:15:00.250000+00:00",
        "level": "INFO",
        "logger": "callout.test",
        "message": "done",
        "requestId": "mine",
        "operation": "Named",
    }
    assert "requestId" not in json.loads(JsonFormatter().format(made))


def test_any_text_can_be_logged() -> None:
    logged = json.loads(JsonFormatter().format(record("half a character: \ud800", {"who": {1, 2}, "none": None})))
    assert logged["message"] == r"half a character: \ud800"
    assert logged["who"] == "{1, 2}"
    assert "none" not in logged


def record(message: str, fields: dict[str, object]) -> logging.LogRecord:
    made = logging.LogRecord("callout.test", logging.INFO, "", 0, message, (), None)
    made.fields = fields
    return made
