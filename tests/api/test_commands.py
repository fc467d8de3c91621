"""Commands that a device sends together: each is carried out once, in order, and conflicts are by field."""

from __future__ import annotations

import itertools
from typing import Any

from tests.helpers.api import Api

_numbers = itertools.count(1)

RESULTS = """results { key outcome conflicts uploadUrl ticket { id version status resolution }
  note { id body occurredAt } attachment { id } property { id accessNotes } userErrors { code field } } streamCursor"""


def key() -> str:
    return f"command {next(_numbers)}"


def command(name: str, **given: Any) -> dict[str, Any]:
    return {name: {"key": key()} | given}


async def apply(viewer: Api, *commands: dict[str, Any], device: str = "phone") -> list[Any]:
    """The results of commands that a device of the viewer sends."""
    of_viewer = f"{device} of {viewer.subject}"
    payload = await viewer.done("commandsApply", RESULTS, deviceId=of_viewer, commands=list(commands))
    results: list[Any] = payload["results"]
    return results


def outcomes(results: list[Any]) -> list[str]:
    return [result["outcome"] for result in results]


async def test_commands_are_carried_out_in_order_and_once(api: Api) -> None:
    technician = await api.new_technician()
    ticket = await api.new_ticket(technicianId=technician)
    commands = [
        command("note", ticketId=ticket, body="On my way.", baseVersion=1),
        command("status", ticketId=ticket, status="IN_PROGRESS", baseVersion=1),
        command("resolve", ticketId=ticket, resolution="Replaced the battery.", baseVersion=1),
    ]
    async with api.technician(technician) as tess:
        first = await apply(tess, *commands)
        assert outcomes(first) == ["APPLIED"] * 3
        assert [result["key"] for result in first] == [next(iter(each.values()))["key"] for each in commands]
        assert first[2]["ticket"] | {"id": ""} == {
            "id": "",
            "version": 3,
            "status": "RESOLVED",
            "resolution": "Replaced the battery.",
        }
        again = await apply(tess, *commands)
        assert outcomes(again) == ["REPLAYED"] * 3
        assert again[0]["note"] == first[0]["note"]
    history = await api("query($id: ID!) { ticket(by: {id: $id}) { history { nodes { kind } } } }", id=ticket)
    kinds = [each["kind"] for each in history["ticket"]["history"]["nodes"]]
    assert kinds == ["CREATED", "NOTE_ADDED", "STATUS_CHANGED", "RESOLVED"]


async def test_a_status_that_somebody_else_has_changed_is_a_conflict(api: Api) -> None:
    technician = await api.new_technician()
    ticket, other = await api.new_ticket(technicianId=technician), await api.new_ticket(technicianId=technician)
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="CLOSED")
    async with api.technician(technician) as tess:
        results = await apply(
            tess,
            command("status", ticketId=ticket, status="IN_PROGRESS", baseVersion=1),
            command("note", ticketId=ticket, body="Was there.", baseVersion=1),
            command("resolve", ticketId=other, resolution="Done.", baseVersion=1),
        )
    assert outcomes(results) == ["CONFLICT", "APPLIED", "APPLIED"]
    assert results[0]["conflicts"] == ["status"]
    assert results[0]["ticket"]["status"] == "CLOSED"
    assert results[0]["userErrors"] == []
