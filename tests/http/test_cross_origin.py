"""Pages of other origins: what a browser asks before and after it sends their requests (CORS)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from callout.auth.authenticator import mint
from db.enums import Role
from tests.helpers.api import Server

PAGE = "https://dashboard.example"
ELSEWHERE = "https://evil.example"
QUERY = json.dumps({"query": "{ me { name } }"}).encode()
# What Apollo, urql, Relay, graphql-sse, EventSource's polyfills, tracing and tus clients send.
HEADERS = (
    "apollo-require-preflight,apollographql-client-name,authorization,content-type,last-event-id,traceparent,"
    "tus-resumable,upload-offset,x-request-id"
)


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    return {"allowed_origins": f"https://other.example:8443,{PAGE}"}


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30, verify=False) as client:
        yield client


def token(server: Server) -> dict[str, str]:
    token = mint(server.settings, role=Role.ADMIN, subject="boss", name="The Boss", ttl=600)
    return {"authorization": f"Bearer {token}"}


def asked_first(origin: str, method: str = "POST") -> dict[str, str]:
    """The headers of a preflight request."""
    return {"origin": origin, "access-control-request-method": method, "access-control-request-headers": HEADERS}


@pytest.mark.parametrize("path", ["/graphql", "/graphql/stream", "/healthz"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
async def test_a_listed_origin_may_send_its_requests(client: httpx.AsyncClient, path: str, method: str) -> None:
    answer = await client.options(path, headers=asked_first(PAGE, method))
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    assert answer.headers["access-control-allow-headers"] == HEADERS
    assert int(answer.headers["access-control-max-age"]) == 7_200
    assert "access-control-allow-credentials" not in answer.headers
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    "origin", [ELSEWHERE, "null", "http://dashboard.example", f"{PAGE}:444", f"{PAGE}.evil.example"]
)
async def test_another_origin_may_not(client: httpx.AsyncClient, origin: str, server: Server) -> None:
    answer = await client.options("/graphql", headers=asked_first(origin))
    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers
    answer = await client.post(
        "/graphql", content=QUERY, headers={"origin": origin, "content-type": "application/json", **token(server)}
    )
    assert answer.status_code == 200  # nobody but a browser goes by the header, and that keeps the answer to itself
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["vary"] == "Origin"


async def test_a_listed_origin_can_read_answers_of_every_kind(client: httpx.AsyncClient, server: Server) -> None:
    """Those that the endpoint gives, those of the layers around it, and those that fail."""
    asked = {"origin": PAGE, "content-type": "application/json"}
    answers = {
        200: await client.post("/graphql", content=QUERY, headers=asked | token(server)),
        401: await client.post("/graphql", content=QUERY, headers=asked),
        400: await client.post("/graphql", content=b"null", headers=asked | token(server)),
        413: await client.post("/graphql", content=b"x" * 1_100_000, headers=asked | token(server)),
        404: await client.get("/nowhere", headers=asked),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["vary"] == "Origin"
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"X-Request-ID", "Retry-After", "Upload-Offset"} <= set(exposed)
        assert answer.headers["x-request-id"]


async def test_a_listed_origin_can_read_an_event_stream(client: httpx.AsyncClient, server: Server) -> None:
    subscription = {"query": "subscription { ticketChanged { __typename } }"}
    headers = {"origin": PAGE, "content-type": "application/json", "accept": "text/event-stream", **token(server)}
    async with client.stream("POST", "/graphql/stream", json=subscription, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == PAGE
        received = ""
        async with asyncio.timeout(10):
            async for text in answer.aiter_text():
                received += text
                if "StreamReady" in received:
                    break
    assert "StreamReady" in received


async def test_a_request_without_an_origin_gets_no_permission(client: httpx.AsyncClient, server: Server) -> None:
    answer = await client.post("/graphql", content=QUERY, headers={"content-type": "application/json", **token(server)})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control-")]
