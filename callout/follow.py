"""`callout follow`: a minimal client that misses no event, and an example of how to write one. See `docs/live.md`."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from db.errors import Failure

SUBSCRIPTION = """
subscription Follow($after: String) {
  ticketChanged(after: $after) {
    __typename
    ... on TicketChange { cursor change kind at actor { name } ticketId ticket { reference subject status priority } }
    ... on StreamReady { cursor }
    ... on StreamReset { cursor reason }
  }
}"""
REFUSALS = {4400, 4401, 4403}
PASSING = {408, 425, 429, *range(500, 600)}  # statuses of a server that may answer otherwise in a while
SILENCE_SECONDS = 45.0  # the server sends a ping after 20
RETRY_SECONDS, RETRY_SECONDS_MAX = 0.5, 30.0


class _Direct(connect):
    """A connection that follows no redirects: another host must not get the token."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class NotAdmitted(Failure):
    """The server refused the token or the subscription. The message is the server's."""


class _Interrupted(Exception):
    """The server ended the subscription for a reason that may pass."""


class NoServer(Failure):
    """Nothing at the URL answers as Callout does, and another try would not change that."""


def socket_url(url: str) -> str:
    """Returns the URL of the server's WebSocket. `url` is that, or what `callout serve` prints, or a server's alone, in
    which case the path is `/graphql`. Raises `ValueError` if it is none of these."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError("must be a URL such as http://127.0.0.1:8000/graphql")
    return urlunsplit(parts._replace(scheme=scheme, path=parts.path.rstrip("/") or "/graphql"))


async def follow(url: str, token: str, show: Callable[[str], None]) -> None:
    """Shows each change on a line, forever. After a lost connection it reconnects and resumes from the last cursor; the
    pause doubles with each failure and is jittered, so that clients do not all return at once. Raises `NotAdmitted` if
    the server refuses the token, and `NoServer` if there is surely no server of Callout's at the URL."""
    cursor: str | None = None
    pause = RETRY_SECONDS
    while True:
        problem = "the connection was lost"
        try:
            async with _Direct(url, subprotocols=["graphql-transport-ws"], ping_interval=None) as server:  # type: ignore[list-item]
                await _send(server, type="connection_init", payload={"Authorization": f"Bearer {token}"})
                while True:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        message = orjson.loads(await server.recv())
                    if message["type"] == "connection_ack":
                        payload = {"query": SUBSCRIPTION, "variables": {"after": cursor}}
                        await _send(server, type="subscribe", id="1", payload=payload)
                    elif message["type"] == "ping":
                        await _send(server, type="pong")
                    elif message["type"] == "next":
                        change = _change(message["payload"])
                        cursor, pause = change["cursor"], RETRY_SECONDS
                        show(line(change))
                    elif message["type"] == "complete":
                        raise _Interrupted("the server ended the subscription")
                    elif message["type"] == "error":
                        raise NotAdmitted(message["payload"][0]["message"])
        except ConnectionClosed as closed:
            if closed.rcvd is not None and closed.rcvd.code in REFUSALS:
                raise NotAdmitted(closed.rcvd.reason) from None
        except _Interrupted as interrupted:
            problem = str(interrupted)
        except (InvalidHandshake, OSError, TimeoutError) as error:
            problem = f"{url} cannot be reached ({_reason(error)})"
            if cursor is None and _is_final(error):
                raise NoServer(f"{problem}; is this the address that `callout serve` prints?") from error
        show(f"… {problem}; reconnecting from {'the last cursor' if cursor else 'now'}")
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, RETRY_SECONDS_MAX)


def _change(payload: Any) -> dict[str, Any]:
    """The message of the subscription. Raises `_Interrupted` if there are only errors."""
    change = (payload.get("data") or {}).get("ticketChanged")
    if change is None:
        errors = payload.get("errors") or [{"message": "the server sent no data"}]
        raise _Interrupted(errors[0]["message"].rstrip("."))
    found: dict[str, Any] = change
    return found


def _is_final(error: Exception) -> bool:
    """Whether another try would fail in the same way. A server that is starting, or behind a proxy that waits for it,
    refuses connections or answers with a status of 500 and more."""
    if isinstance(error, InvalidStatus):
        return error.response.status_code not in PASSING
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_NONAME
    return isinstance(error, (InvalidHandshake, ssl.SSLCertVerificationError))


def _reason(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case InvalidStatus():
            return f"it answers with the status {error.response.status_code}"
        case InvalidHandshake():
            return "it does not answer like Callout"
        case socket.gaierror(strerror=str(reason)):
            return reason
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
    return str(error)


def line(message: dict[str, Any]) -> str:
    match message["__typename"]:
        case "StreamReady":
            return "ready: changes are live from here on"
        case "StreamReset":
            return f"reset ({message['reason']}): fetch your list again"
    ticket = message["ticket"]
    what = f"{message['change']:<8}{message['kind']:<14} "
    if ticket is None:
        return f"{what}{message['ticketId']}, which you can no longer see"
    shown = f"{ticket['reference']}  {ticket['status']:<12}{ticket['priority']:<8}{ticket['subject']}"
    return f"{what}{shown}  (by {message['actor']['name']})"


async def _send(server: Any, **message: Any) -> None:
    await server.send(orjson.dumps(message).decode())
