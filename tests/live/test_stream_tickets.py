"""Stream tickets, by which a browser's `EventSource` gets in, though it cannot send a header."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from callout.auth.authenticator import REMEMBER_SECONDS
from callout.live import stream_tickets
from callout.live.stream_tickets import StreamTickets
from tests.helpers.api import Api, Server

PATH = "/graphql/stream/ticket"
FOLLOW = "subscription { ticketChanged { __typename ... on TicketChange { ticket { subject } } } }"


async def ticket_of(api: Api) -> str:
    answer = await api.http.post(PATH)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    given: dict[str, Any] = answer.json()
    assert given["validSeconds"] == 30
    return str(given["streamTicket"])


@asynccontextmanager
async def following(server: Server, **parameters: str) -> AsyncIterator[httpx.Response]:
    """What an `EventSource` receives: it sends a GET without a token."""
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=30, verify=False) as client,
        client.stream("GET", "/graphql/stream", params=parameters, headers={"accept": "text/event-stream"}) as answer,
    ):
        yield answer


async def until(texts: AsyncIterator[str], word: str) -> str:
    received = ""
    async with asyncio.timeout(10):
        async for text in texts:
            received += text
            if word in received:
                return received
    raise AssertionError(f"the stream has ended: {received}")


async def refused(server: Server, **parameters: str) -> tuple[int, str]:
    async with following(server, **parameters) as answer:
        async with asyncio.timeout(10):
            await answer.aread()
        (error,) = answer.json()["errors"]
        return answer.status_code, error["message"]


async def test_a_ticket_lets_an_event_source_follow_what_its_viewer_sees(api: Api, server: Server) -> None:
    technician = await api.new_technician()
    async with api.technician(technician) as mine:
        ticket = await ticket_of(mine)
    async with following(server, query=FOLLOW, streamTicket=ticket) as answer:
        assert answer.status_code == 200
        texts = answer.aiter_text()
        await until(texts, "StreamReady")
        await api.new_ticket(subject="Nobody's")
        await api.new_ticket(subject="Theirs", technicianId=technician)
        received = await until(texts, "Theirs")
    assert "Nobody's" not in received


async def test_a_ticket_works_once(api: Api, server: Server) -> None:
    ticket = await ticket_of(api)
    async with following(server, query=FOLLOW, streamTicket=ticket) as answer:
        await until(answer.aiter_text(), "StreamReady")
        again = await refused(server, query=FOLLOW, streamTicket=ticket)
    assert again == (401, "The stream ticket was used before; get a new one.")
    ticket = await ticket_of(api)
    racing = (refused(server, query="{ me { name } }", streamTicket=ticket) for _ in range(8))
    answers = await asyncio.gather(*racing, return_exceptions=True)
    assert len([each for each in answers if isinstance(each, Exception)]) == 1  # the one that was let in has no errors
    assert {each for each in answers if isinstance(each, tuple)} == {again}


@pytest.mark.parametrize("ticket", ["x", "x" * 200, "é", "a b", "AAAA"])
async def test_an_invented_ticket_is_refused(server: Server, ticket: str) -> None:
    assert await refused(server, query=FOLLOW, streamTicket=ticket) == (401, "The stream ticket is not valid.")


async def test_a_changed_ticket_is_refused(api: Api, server: Server) -> None:
    ticket = await ticket_of(api)
    for place in (0, 20, len(ticket) - 8):
        changed = ticket[:place] + ("A" if ticket[place] != "A" else "B") + ticket[place + 1 :]
        assert await refused(server, query=FOLLOW, streamTicket=changed) == (401, "The stream ticket is not valid.")


async def test_an_expired_ticket_is_refused(
    api: Api, server: Server, log_identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = StreamTickets(log_identity, None)  # type: ignore[arg-type]  # it is not used to issue one
    monkeypatch.setattr(time, "time", lambda now=time.time: now() - stream_tickets.VALID_SECONDS - 2)
    ticket = tickets.issue(api.http.headers["authorization"])
    monkeypatch.undo()
    assert await refused(server, query=FOLLOW, streamTicket=ticket) == (401, "The stream ticket has expired.")
    fresh = tickets.issue(api.http.headers["authorization"])
    async with following(server, query=FOLLOW, streamTicket=fresh) as answer:
        await until(answer.aiter_text(), "StreamReady")


@pytest.fixture
async def log_identity(server: Server) -> str:
    connection = await asyncpg.connect(server.database_url)
    try:
        return str(await connection.fetchval("SELECT identity FROM event_log"))
    finally:
        await connection.close()


async def test_a_ticket_is_nothing_without_its_token(api: Api, server: Server) -> None:
    """It ends with it, too: the ticket of a technician who has been made inactive lets nobody in."""
    technician = await api.new_technician()
    async with api.technician(technician) as mine:
        ticket = await ticket_of(mine)
    await api.done("technicianUpdate", "technician { active }", technicianId=technician, active=False)
    await asyncio.sleep(REMEMBER_SECONDS + 0.1)
    status, _ = await refused(server, query=FOLLOW, streamTicket=ticket)
    assert status == 401


async def test_a_ticket_does_not_replace_a_header_elsewhere(api: Api, server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=30, verify=False) as client:
        ticket = await ticket_of(api)
        for method, path in (("GET", "/graphql"), ("POST", "/graphql/stream"), ("POST", PATH)):
            answer = await client.request(method, path, params={"query": "{ me { name } }", "streamTicket": ticket})
            assert answer.status_code == 401, (method, path)
        answer = await client.get(PATH)
        assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")
        mutation = {"query": 'mutation { tokensRevoke(input: {subject: "x"}) { userErrors { code } } }'}
        answer = await client.get("/graphql/stream", params=mutation | {"streamTicket": ticket})
        assert answer.status_code == 405
