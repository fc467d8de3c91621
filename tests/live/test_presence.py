"""Presence: who of the staff views or edits a ticket, through two servers on one database."""

from __future__ import annotations

from typing import Any

from tests.helpers.api import Api
from tests.helpers.graphql_ws_client import Socket, live

SET = """mutation($input: PresenceSetInput!) { presenceSet(input: $input) {
  presence { viewer { kind id name } state since } renewWithinSeconds userErrors { code field message } } }"""


async def set_over(socket: Socket, ticket: str, state: str | None) -> Any:
    await socket.subscribe("presence", SET, input={"ticketId": ticket, "state": state})
    payload = await socket.next()
    assert (await socket.receive())["type"] == "complete"
    return payload


async def test_the_payload_has_ones_own_presence(api: Api) -> None:
    ticket, technician = await api.new_ticket(), await api.new_technician(name="Tess")
    await api.done("ticketAssign", "ticket { id }", ticketId=ticket, technicianId=technician)
    async with api.technician(technician) as tess:
        selection = "presence { viewer { kind id name } state since } renewWithinSeconds"
        payload = await tess.done("presenceSet", selection, ticketId=ticket, state="VIEWING")
        assert payload["presence"].pop("since")
        viewer = {"kind": "TECHNICIAN", "id": technician, "name": "Tess"}
        assert payload["presence"] == {"viewer": viewer, "state": "VIEWING"}
        assert payload["renewWithinSeconds"] == 30
        async with live(tess) as socket:
            payload = await set_over(socket, ticket, "EDITING")
            assert payload["presence"]["state"] == "EDITING"
            assert (await set_over(socket, ticket, None))["presence"] is None
