"""`callout follow` against a scripted server: its messages, its output, and its pauses between connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, TypeAlias

import orjson
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from callout import follow as module
from callout.follow import NoServer, NotAdmitted, follow, line, socket_url
from tests.helpers.terminal import Terminal

Step: TypeAlias = Callable[[ServerConnection], Awaitable[None]]
TICKET = {"reference": "TKT-A2B4C3", "subject": "Panel beeps", "status": "IN_PROGRESS", "priority": "HIGH"}
CHANGE = {
    "__typename": "TicketChange",
    "cursor": "c2",
    "change": "UPDATED",
    "kind": "STATUS_CHANGED",
    "actor": {"name": "Tess"},
    "ticketId": "tkt_1",
    "ticket": TICKET,
}
READY = {"__typename": "StreamReady", "cursor": "c1"}
RESET = {"__typename": "StreamReset", "cursor": "c3", "reason": "CURSOR_EXPIRED"}
GONE = "… the connection was lost; reconnecting from {}"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Records the pauses between connections without waiting; each is three quarters of its maximum."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 9:
            raise asyncio.CancelledError

    def uniform(least: float, most: float) -> float:
        assert (least, most) == (0.5, 1.0)
        return 0.75

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep, timeout=asyncio.timeout))
    monkeypatch.setattr(module, "random", SimpleNamespace(uniform=uniform))
    return waited


@asynccontextmanager
async def scripted(*steps: Step) -> AsyncIterator[str]:
    """Yields the URL of a server that runs one of these steps for each connection, in turn."""
    left = list(steps)

    async def answer(connection: ServerConnection) -> None:
        if left:
            await left.pop(0)(connection)
        else:
            await connection.close(4403, "no more connections expected")

    async with serve(answer, "127.0.0.1", 0, subprotocols=["graphql-transport-ws"]) as server:  # type: ignore[list-item]
        (socket,) = server.sockets
        yield f"ws://127.0.0.1:{socket.getsockname()[1]}"
    assert left == []


async def say(connection: ServerConnection, **message: Any) -> None:
    await connection.send(orjson.dumps(message).decode())


async def next_message(connection: ServerConnection) -> Any:
    return orjson.loads(await connection.recv())


async def admit(connection: ServerConnection, after: str | None) -> None:
    """Admits the client, and checks that it subscribes from this cursor."""
    assert connection.subprotocol == "graphql-transport-ws"
    assert await next_message(connection) == {"type": "connection_init", "payload": {"Authorization": "Bearer token"}}
    await say(connection, type="connection_ack")
    subscribed = await next_message(connection)
    assert (subscribed["type"], subscribed["payload"]["variables"]) == ("subscribe", {"after": after})
    assert subscribed["payload"]["query"] == module.SUBSCRIPTION


async def deliver(connection: ServerConnection, *messages: dict[str, Any]) -> None:
    for each in messages:
        await say(connection, type="next", id="1", payload={"data": {"ticketChanged": each}})


async def test_follow_reconnects_from_the_last_cursor_until_it_is_refused(pauses: list[float]) -> None:
    async def first(connection: ServerConnection) -> None:
        await admit(connection, None)
        await deliver(connection, READY)
        await say(connection, type="ping")
        assert await next_message(connection) == {"type": "pong"}
        await deliver(connection, CHANGE)
        await connection.close(1012, "restarting")

    async def second(connection: ServerConnection) -> None:
        await admit(connection, "c2")
        connection.transport.abort()

    async def third(connection: ServerConnection) -> None:
        await admit(connection, "c2")
        await deliver(connection, RESET)
        await connection.close(1011, "a fault")

    async def fourth(connection: ServerConnection) -> None:
        await admit(connection, "c3")
        await connection.close(4403, "The token has expired.")

    shown: list[str] = []
    async with scripted(first, second, third, fourth) as url:
        with pytest.raises(NotAdmitted, match="The token has expired"):
            await follow(url, "token", shown.append)
    again = GONE.format("the last cursor")
    assert shown == [line(READY), line(CHANGE), again, again, line(RESET), again]
    assert pauses == [0.375, 0.75, 0.375]  # pauses grow until a message arrives


@pytest.mark.parametrize(
    ("type", "payload", "problem"),
    [
        (
            "next",
            {"data": None, "errors": [{"message": "The database is unavailable."}]},
            "The database is unavailable",
        ),
        ("next", {"data": {"ticketChanged": None}}, "the server sent no data"),
        ("next", {"errors": []}, "the server sent no data"),
        ("complete", None, "the server ended the subscription"),
    ],
)
async def test_follow_goes_on_when_the_server_ends_the_subscription(
    pauses: list[float], type: str, payload: Any, problem: str
) -> None:
    async def first(connection: ServerConnection) -> None:
        await admit(connection, None)
        await deliver(connection, READY)
        await say(connection, type=type, id="1", **{} if payload is None else {"payload": payload})
        await connection.wait_closed()

    async def second(connection: ServerConnection) -> None:
        await admit(connection, "c1")
        await connection.close(4403, "That is all.")

    shown: list[str] = []
    async with scripted(first, second) as url:
        with pytest.raises(NotAdmitted, match="That is all"):
            await follow(url, "token", shown.append)
    assert shown == [line(READY), f"… {problem}; reconnecting from the last cursor"]


async def test_pauses_grow_up_to_half_a_minute_while_no_server_runs(pauses: list[float]) -> None:
    async with scripted() as url:
        pass
    shown: list[str] = []
    with pytest.raises(asyncio.CancelledError):
        await follow(url, "token", shown.append)
    assert pauses == [0.375, 0.75, 1.5, 3.0, 6.0, 12.0, 22.5, 22.5, 22.5]
    assert shown == [f"… {url} cannot be reached (connection refused); reconnecting from now"] * 9


@pytest.mark.parametrize(("status", "final"), [(404, True), (403, True), (301, True), (429, False), (503, False)])
async def test_follow_gives_up_where_no_server_of_callout_answers(
    pauses: list[float], status: int, final: bool
) -> None:
    def answer(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(HTTPStatus(status), "no")
        response.headers["Location"] = elsewhere
        return response

    shown: list[str] = []
    async with (
        scripted() as elsewhere,
        serve(lambda connection: connection.close(), "127.0.0.1", 0, process_request=answer) as server,
    ):
        (socket,) = server.sockets
        url = f"ws://127.0.0.1:{socket.getsockname()[1]}/graphql"
        with pytest.raises(NoServer if final else asyncio.CancelledError):
            await follow(url, "token", shown.append)
    assert len(pauses) == (0 if final else 9)
    assert shown == [f"… {url} cannot be reached (it answers with the status {status}); reconnecting from now"] * (
        0 if final else 9
    )


async def test_follow_explains_why_it_gives_up() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        done = await asyncio.to_thread(Terminal(), "follow", "--token", "token", "--url", address)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"{address.replace('http', 'ws')}/graphql cannot be reached (it does not answer like Callout)" in done.stderr
    done = Terminal()("follow", "--token", "token", "--url", "ftp://127.0.0.1")
    assert (done.exit_code, "--url" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:8000/graphql", "ws://127.0.0.1:8000/graphql"),
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/graphql"),
        ("https://callout.example/api/graphql/", "wss://callout.example/api/graphql"),
        ("ws://[::1]:8000/graphql", "ws://[::1]:8000/graphql"),
    ],
)
def test_the_url_that_serve_prints_leads_to_the_socket(given: str, url: str) -> None:
    assert socket_url(given) == url


async def test_a_silent_connection_is_replaced(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.SILENCE_SECONDS == 45
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.2)

    async def silent(connection: ServerConnection) -> None:
        await admit(connection, None)
        await connection.wait_closed()

    async def closing(connection: ServerConnection) -> None:
        await connection.close(4403, "over")

    async with scripted(silent, closing) as url:
        with pytest.raises(NotAdmitted, match="over"):
            await follow(url, "token", lambda shown: None)
    assert pauses == [0.375]


async def test_a_refused_subscription_is_reported() -> None:
    async def refusing(connection: ServerConnection) -> None:
        await admit(connection, None)
        await say(connection, type="error", id="1", payload=[{"message": "Not for you."}])
        await connection.wait_closed()

    async with scripted(refusing) as url:
        done = await asyncio.to_thread(Terminal(), "follow", "--token", "token", "--url", url)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "Error: Not for you.\n")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (READY, "ready: changes are live from here on"),
        (RESET, "reset (CURSOR_EXPIRED): fetch your list again"),
        (CHANGE, "UPDATED STATUS_CHANGED TKT-A2B4C3  IN_PROGRESS HIGH    Panel beeps  (by Tess)"),
        (
            CHANGE | {"kind": "ATTACHMENT_ADDED"},
            "UPDATED ATTACHMENT_ADDED TKT-A2B4C3  IN_PROGRESS HIGH    Panel beeps  (by Tess)",
        ),
        (CHANGE | {"ticket": None, "change": "LEFT"}, "LEFT    STATUS_CHANGED tkt_1, which you can no longer see"),
    ],
)
def test_each_message_is_printed_as_one_line(message: dict[str, Any], shown: str) -> None:
    assert line(message) == shown
