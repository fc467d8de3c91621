"""Faults that are reported to Sentry: what an ingest server receives, and what never leaves."""

from __future__ import annotations

import gzip
import importlib
import itertools
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from tests.helpers.api import Api
from tests.helpers.database_checks import Database
from tests.helpers.graphql_ws_client import live
from tests.helpers.process import serving

WITHIN = 20.0
SECRET = "Swordfish"
CREATE = """
mutation CreatesCustomer($input: CustomerCreateInput!) {
  customerCreate(input: $input) { customer { id } userErrors { code } } }"""


class Ingest:
    """A project at Sentry: the reports that have arrived, and all bytes that were sent."""

    def __init__(self) -> None:
        self.dsn = ""
        self.reports: list[dict[str, Any]] = []
        self.raw = b""

    def take(self, envelope: bytes) -> None:
        self.raw += envelope
        for header, content in itertools.pairwise(envelope.splitlines()):
            if orjson.loads(header).get("type") == "event":
                self.reports.append(orjson.loads(content))

    def next(self) -> dict[str, Any]:
        """Returns the next report, once it is there."""
        deadline = time.monotonic() + WITHIN
        while not self.reports:
            assert time.monotonic() < deadline, "no report"
            time.sleep(0.05)
        return self.reports.pop(0)


def unpacked(body: bytes, encoding: str | None) -> bytes:
    if encoding == "br":  # Sentry's library prefers it, where it is installed
        brotli: Any = importlib.import_module("brotli")
        return bytes(brotli.decompress(body))
    return gzip.decompress(body) if encoding == "gzip" else body


@pytest.fixture(scope="module")
def ingest() -> Iterator[Ingest]:
    taken = Ingest()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            taken.take(unpacked(body, self.headers.get("content-encoding")))
            answer = b"{}"
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    taken.dsn = f"http://public@127.0.0.1:{server.server_address[1]}/1"
    with serving(server, threading.Event()):
        yield taken


@pytest.fixture(scope="module")
def server_settings(ingest: Ingest) -> dict[str, str]:
    return {"sentry_dsn": ingest.dsn}


@pytest.fixture
async def broken(database: Database, api: Api) -> None:
    """A database that fails with a message that quotes the row."""
    await database.execute("ALTER TABLE customers DROP CONSTRAINT IF EXISTS broken")
    await database.execute(f"ALTER TABLE customers ADD CONSTRAINT broken CHECK (name NOT LIKE '{SECRET}%')")


async def make_fault(api: Api) -> None:
    values = {"name": f"{SECRET} Brown", "email": "brown@example.com", "accountNumber": "B-1"}
    response = await api.http.post("/graphql", json={"query": CREATE, "variables": {"input": values}})
    assert response.json()["errors"][0]["extensions"]["code"] == "INTERNAL"


@pytest.mark.usefixtures("broken")
async def test_a_fault_is_reported_without_anything_of_its_request(api: Api, ingest: Ingest) -> None:
    values = {"name": f"{SECRET} Smith", "email": f"{SECRET}@example.com", "accountNumber": f"{SECRET}-1"}
    headers = {"cookie": f"session={SECRET}", "x-forwarded-for": "203.0.113.9", "user-agent": SECRET}
    response = await api.http.post(
        f"/graphql?secret={SECRET}", json={"query": CREATE, "variables": {"input": values}}, headers=headers
    )
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert SECRET in api.server.process.log()  # it would have been there to be sent

    report = ingest.next()
    (*_, exception) = report["exception"]["values"]
    assert exception["type"] == "CheckViolationError"
    assert set(exception) == {"type", "module", "stacktrace"}  # its text may quote a row
    assert exception["stacktrace"]["frames"][-1]["function"]
    assert report["logentry"] == {"message": "unhandled exception"}
    assert report["tags"]["request_id"] == error["extensions"]["requestId"]
    assert (report["tags"]["operation"], report["tags"]["role"]) == ("CreatesCustomer", "ADMIN")
    assert report["level"] == "error"
    assert report["release"].startswith("callout@")
    assert report["environment"] == "production"
    for name in ("request", "user", "extra", "breadcrumbs", "server_name", "modules", "contexts"):
        assert name not in report
    token = api.http.headers["authorization"].removeprefix("Bearer ")
    for secret in (SECRET, token, "203.0.113.9", "127.0.0.1:", "boss", "variables"):
        assert secret.encode() not in ingest.raw


@pytest.mark.usefixtures("broken")
async def test_a_fault_over_a_socket_is_reported_too(api: Api, ingest: Ingest) -> None:
    values = {"name": f"{SECRET} Jones", "email": "jones@example.com", "accountNumber": "J-1"}
    async with live(api) as socket:
        await socket.send(id="1", type="subscribe", payload={"query": CREATE, "variables": {"input": values}})
        await socket.connection.recv()
    report = ingest.next()
    assert report["tags"]["operation"] == "CreatesCustomer"
    assert SECRET.encode() not in ingest.raw


@pytest.mark.usefixtures("broken")
async def test_what_clients_do_wrong_is_not_reported(api: Api, ingest: Ingest) -> None:
    await api.http.post("/graphql", json={"query": "{ nothing }"})
    await api.http.post("/graphql", content=b"nothing")
    await api.http.get("/graphql", headers={"authorization": "Bearer x"})
    await api.http.get("/nothing")
    await make_fault(api)  # reports come in order
    report = ingest.next()
    assert report["tags"]["operation"] == "CreatesCustomer"
    assert ingest.reports == []
