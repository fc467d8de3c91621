"""Keep a list of tickets in step with gql: the server sends it once, then what changes in it.

pip install 'gql[websockets]'
ADMIN_TOKEN=… python examples/live_list.py ws://127.0.0.1:8000/graphql
"""

import asyncio
import os
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport

LIVE = """subscription ($filter: TicketFilter, $orderBy: [TicketOrder!], $first: Int) {
  ticketsLive(filter: $filter, orderBy: $orderBy, first: $first) {
    __typename
    ... on WindowSnapshot { totalCount edges { ...row } }
    ... on WindowPatch {
      totalCount
      operations {
        __typename
        ... on WindowInsert { index edge { ...row } }
        ... on WindowMove { from to edge { ...row } }
        ... on WindowReplace { index edge { ...row } }
        ... on WindowRemove { index }
      }
    }
  }
}
fragment row on TicketEdge { cursor node { id reference subject status priority } }"""


def apply_patch(edges: list[Any], operations: list[dict[str, Any]]) -> None:
    """Brings the list of a snapshot, or of the message before, up to date."""
    for operation in operations:
        match operation["__typename"]:
            case "WindowInsert":
                edges.insert(operation["index"], operation["edge"])
            case "WindowMove":
                del edges[operation["from"]]
                edges.insert(operation["to"], operation["edge"])
            case "WindowReplace":
                edges[operation["index"]] = operation["edge"]
            case "WindowRemove":
                del edges[operation["index"]]


async def keep(
    url: str, token: Callable[[], str], variables: dict[str, Any], show: Callable[[list[Any], int], None]
) -> None:
    """Runs until it is cancelled. Raises `TransportQueryError` where connecting again would not help.

    `token` returns a valid token and is called for each connection. `show` receives the list and its total, whenever
    one of them has changed. Each connection starts with a snapshot, so there is nothing to remember.
    """
    edges: list[Any] = []
    pause = 0.5
    while True:
        try:
            async with Client(transport=transport(url, token())) as session:
                async for data in session.subscribe(GraphQLRequest(LIVE, variable_values=variables)):
                    message = data["ticketsLive"]
                    if message["__typename"] == "WindowSnapshot":
                        edges = message["edges"]
                    else:
                        apply_patch(edges, message["operations"])
                    show(edges, message["totalCount"])
                    pause = 0.5
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


def show(edges: list[Any], total: int) -> None:
    print(f"{len(edges)} of {total}:", *(edge["node"]["reference"] for edge in edges), flush=True)


if __name__ == "__main__":
    variables = {"filter": {"status": ["OPEN"]}, "first": 10}
    with suppress(KeyboardInterrupt):
        asyncio.run(keep(sys.argv[1], lambda: os.environ["ADMIN_TOKEN"], variables, show))
