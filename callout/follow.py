"""`callout follow`: a minimal client that misses no event, and an example of how to write one. See `docs/live.md`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

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
FORBIDDEN = 4403
SILENCE_SECONDS = 45.0  # the server sends a ping after 20
RETRY_SECONDS, RETRY_SECONDS_MAX = 0.5, 30.0


class NotAdmitted(Failure):
    """The server refused the token or the subscription. The message is the server's."""


async def follow(url: str, token: str, show: Callable[[str], None]) -> None:
    """Shows each change on a line, forever. After a lost connection it reconnects and resumes from the last cursor; the
    pause doubles with each failure and is jittered, so that clients do not all return at once. Raises `NotAdmitted` if
    the server refuses the token."""
    cursor: str | None = None
    pause = RETRY_SECONDS
    while True:
        try:
            async with connect(url, subprotocols=["graphql-transport-ws"], ping_interval=None) as socket:  # type: ignore[list-item]
                await _send(socket, type="connection_init", payload={"Authorization": f"Bearer {token}"})
                while True:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        message = orjson.loads(await socket.recv())
                    if message["type"] == "connection_ack":
                        payload = {"query": SUBSCRIPTION, "variables": {"after": cursor}}
                        await _send(socket, type="subscribe", id="1", payload=payload)
                    elif message["type"] == "ping":
                        await _send(socket, type="pong")
                    elif message["type"] == "next":
                        message = message["payload"]["data"]["ticketChanged"]
                        cursor, pause = message["cursor"], RETRY_SECONDS
                        show(line(message))
                    elif message["type"] == "error":
                        raise NotAdmitted(message["payload"][0]["message"])
        except ConnectionClosed as closed:
            if closed.rcvd is not None and closed.rcvd.code == FORBIDDEN:
                raise NotAdmitted(closed.rcvd.reason) from None
        except (OSError, TimeoutError, InvalidHandshake):
            pass
        show(f"… the connection was lost; reconnecting from {'the last cursor' if cursor else 'now'}")
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, RETRY_SECONDS_MAX)


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


async def _send(socket: Any, **message: Any) -> None:
    await socket.send(orjson.dumps(message).decode())
