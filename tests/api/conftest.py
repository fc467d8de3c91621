"""The fixture that tests of the list of tickets share."""

from __future__ import annotations

import pytest

from tests.helpers.api import Server
from tests.helpers.ticket_lists import World, make_world


@pytest.fixture(scope="module")
async def world(server: Server) -> World:
    """Tickets of all kinds to list. A module that needs other data has a `world` of its own."""
    return await make_world(server)
