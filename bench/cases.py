"""The four requests of `compare`: as GraphQL for Callout and plain Strawberry, and as a path for the floor.

All three servers answer with the same data; `bench/compare.py` checks this before it measures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import asyncpg
import orjson

from bench.load import post
from bench.servers import Server

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Draw(NamedTuple):
    """A request: the GraphQL variables; and the method, path and body for the floor. `viewer` is the name of the viewer
    whose token is sent, an admin if it is empty. `document` replaces the case's."""

    variables: dict[str, Any]
    method: str = "GET"
    path: str = ""
    body: bytes = b""
    viewer: str = ""
    document: str = ""


Drawing: TypeAlias = Callable[[Connection, int], Awaitable[list[Draw]]]


@dataclass(frozen=True)
class Case:
    """A case of the comparison. `target` is the largest accepted ratio of Callout's CPU time to the floor's. One
    measurement sends `requests` to the floor and to Callout, and `plain_requests` to plain Strawberry, which does not
    take part if they are 0. `draw` makes a number of requests; `undo` makes the request that reverts one."""

    name: str
    document: str
    target: float
    requests: int
    plain_requests: int
    draw: Drawing
    undo: Callable[[Draw], Draw] | None = None


LIST = """query List($filter: TicketFilter, $first: Int) {
  tickets(filter: $filter, first: $first) {
    totalCount
    nodes {
      id reference subject status priority category createdAt
      contact { name email }
      customer { id name }
      property { id address }
      technician { id name }
    }
  }
}"""

DETAIL = """query Detail($id: ID!) {
  ticket(by: {id: $id}) {
    id reference version subject description status priority category source resolution
    createdAt updatedAt resolvedAt closedAt
    contact { name email phone }
    customer { id accountNumber name email phone }
    property { id address accountNumber }
    technician { id name email phone active }
    chat { author body at }
    article { id problem solution published }
    allowedStatuses
    notes(first: 100) { totalCount nodes { id body internalOnly author { kind name } createdAt } }
  }
}"""

BOARD = """query Board {
  technicians(first: 50) {
    nodes {
      id name
      tickets(first: 10) {
        nodes { id reference subject status priority createdAt customer { name } notes { totalCount } }
      }
    }
  }
}"""

SET_STATUS = """mutation SetStatus($id: ID!, $status: TicketStatus!) {
  ticketSetStatus(input: {ticketId: $id, status: $status}) {
    ticket {
      id reference version subject status priority category createdAt updatedAt
      contact { name email }
      customer { id name }
      property { id address }
      technician { id name }
    }
    userErrors { code field message }
  }
}"""


async def draw_list(connection: Connection, count: int) -> list[Draw]:
    variables = {"filter": {"status": ["OPEN"], "priority": ["HIGH"]}, "first": 50}
    return [Draw(variables, "GET", "/tickets")] * count


async def draw_detail(connection: Connection, count: int) -> list[Draw]:
    """Random tickets, each requested once."""
    rows = await connection.fetch("SELECT id::text FROM tickets ORDER BY random() LIMIT $1", count)
    return [Draw({"id": f"tkt_{row['id']}"}, "GET", f"/tickets/{row['id']}") for row in rows]


async def draw_board(connection: Connection, count: int) -> list[Draw]:
    return [Draw({}, "GET", "/board")] * count


async def draw_set_status(connection: Connection, count: int) -> list[Draw]:
    """Random tickets, each changed once, from OPEN to IN_PROGRESS or back."""
    rows = await connection.fetch(
        "SELECT id::text, status FROM tickets WHERE status IN ('OPEN', 'IN_PROGRESS') ORDER BY random() LIMIT $1", count
    )
    return [setting(f"tkt_{row['id']}", OTHER[row["status"]]) for row in rows]


def setting(ticket: str, status: str) -> Draw:
    path = f"/tickets/{ticket.removeprefix('tkt_')}/status"
    return Draw({"id": ticket, "status": status}, "PUT", path, orjson.dumps({"status": status}))


def setting_back(draw: Draw) -> Draw:
    return setting(draw.variables["id"], OTHER[draw.variables["status"]])


OTHER = {"OPEN": "IN_PROGRESS", "IN_PROGRESS": "OPEN"}

CASES = (
    Case("list", LIST, 2.0, 1500, 40, draw_list),
    Case("detail", DETAIL, 2.0, 3000, 150, draw_detail),
    Case("board", BOARD, 1.5, 400, 12, draw_board),
    Case("status change", SET_STATUS, 3.0, 1500, 150, draw_set_status, setting_back),
)


def graphql_request(case: Case, draw: Draw, server: Server) -> bytes:
    token = server.viewers[draw.viewer] if draw.viewer else server.token
    return post(draw.document or case.document, draw.variables, token)


def bare_request(draw: Draw) -> bytes:
    content = f"Content-Type: application/json\r\nContent-Length: {len(draw.body)}\r\n" if draw.body else ""
    head = f"{draw.method} {draw.path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n{content}\r\n"
    return head.encode() + draw.body
