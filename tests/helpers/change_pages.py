"""Fetches pages of ticket changes, as a device does."""

from __future__ import annotations

from typing import Any

from tests.helpers.api import Api

EVENTS = """
query($filter: TicketFilter, $after: String, $first: Int) {
  ticketEvents(filter: $filter, after: $after, first: $first) {
    nodes { cursor change kind ticketId at ticket { version } } cursor hasMore reset
  }
}"""


async def fetch_page(viewer: Api, **variables: Any) -> Any:
    return (await viewer(EVENTS, **variables))["ticketEvents"]
