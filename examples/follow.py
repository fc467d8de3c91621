"""Follow tickets with gql: each change exactly once, through restarts of the server and lost connections.

pip install 'gql[websockets]'
ADMIN_TOKEN=… python examples/follow.py ws://127.0.0.1:8000/graphql
"""

import asyncio
import json
import os
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport

LIST = """query ($filter: TicketFilter) {
  tickets(filter: $filter) { streamCursor nodes { id version subject status } }
}"""
CHANGES = """subscription ($filter: TicketFilter, $after: String) {
  ticketChanged(filter: $filter, after: $after) {
    __typename
    ... on TicketChange { cursor change ticketId at ticket { id version subject status } }
    ... on StreamReady { cursor }
    ... on StreamReset { cursor reason }
  }
}"""


async def follow(
    url: str,
    token: Callable[[], str],
    filter: dict[str, Any] | None,
    cursor: str | None,
    show: Callable[[dict[str, Any]], None],
) -> None:
    """Runs until it is cancelled. Raises `TransportQueryError` where connecting again would not help.

    `cursor` is the `streamCursor` of the list on display. `token` returns a valid token and is called for each
    connection. `show` receives each message; the cursor advances after it has returned.
    """
    pause = 0.5
    while True:
        try:
            async with Client(transport=transport(url, token())) as session:
                request = GraphQLRequest(CHANGES, variable_values={"filter": filter, "after": cursor})
                async for data in session.subscribe(request):
                    show(data["ticketChanged"])
                    cursor, pause = data["ticketChanged"]["cursor"], 0.5
        except TransportQueryError:
            raise
        except (TransportError, OSError, TimeoutError):
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, 30.0)


def transport(url: str, token: str) -> WebsocketsTransport:
    return WebsocketsTransport(
        url=url,
        init_payload={"Authorization": f"Bearer {token}"},
        subprotocols=["graphql-transport-ws"],
        keep_alive_timeout=45,  # the server sends a ping after 20 s of silence
    )


async def main(url: str, token: str) -> None:
    """Prints the open tickets, then what happens to them."""
    filter = {"status": ["OPEN"]}
    async with Client(transport=transport(url, token)) as session:
        tickets = (await session.execute(GraphQLRequest(LIST, variable_values={"filter": filter})))["tickets"]
    show(tickets)
    await follow(url, lambda: token, filter, tickets["streamCursor"], show)


def show(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], os.environ["ADMIN_TOKEN"]))
