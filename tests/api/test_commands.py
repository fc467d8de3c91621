"""Commands that a device sends together: each is carried out once, in order, and conflicts are by field."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from db.enums import STAFF, Role
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.attached_files import announced, patch
from tests.helpers.database_checks import Database, dump, remove_event, until_blocked
from tests.helpers.database_checks import key as key_of
from tests.helpers.process import callout_process

_numbers = itertools.count(1)

RESULTS = """results { key outcome conflicts uploadUrl ticket { id version status resolution }
  note { id body occurredAt } attachment { id note { id } } property { id accessNotes }
  userErrors { code field message } } streamCursor"""
OF_OTHERS = RESULTS.replace(" accessNotes", "")
"""What customers and services read of it."""

NEWEST_ENTRY = """query($id: ID!) { auditEntries(filter: {objectId: $id}, first: 1) {
  nodes { actor { name } changes { field } } } }"""
HISTORY = "query($id: ID!) { ticket(by: {id: $id}) { history { nodes { kind at occurredAt } } } }"


def command(kind: str, /, **given: Any) -> dict[str, Any]:
    return {kind: {"key": f"command {next(_numbers)}"} | given}


async def apply(viewer: Api, *commands: dict[str, Any], device: str = "phone") -> list[Any]:
    """The results of commands that a device of the viewer sends."""
    of_viewer = f"{device} of {viewer.subject}"
    selection = RESULTS if viewer.role in STAFF else OF_OTHERS
    payload = await viewer.done("commandsApply", selection, deviceId=of_viewer, commands=list(commands))
    results: list[Any] = payload["results"]
    assert [each["key"] for each in results] == [
        next(iter(each.values()))["key"].replace("\0", "\ufffd") for each in commands
    ]
    return results


def outcomes(results: list[Any]) -> list[str]:
    return [result["outcome"] for result in results]


def errors(result: Any) -> list[tuple[str, str]]:
    """The codes and fields of a result that is REJECTED."""
    assert result["outcome"] == "REJECTED"
    return [(error["code"], ".".join(error["field"][1:])) for error in result["userErrors"]]


async def kinds(api: Api, ticket: str) -> list[str]:
    return [each["kind"] for each in (await api(HISTORY, id=ticket))["ticket"]["history"]["nodes"]]


@pytest.fixture
async def tess(api: Api) -> AsyncIterator[Api]:
    async with api.technician(await api.new_technician()) as technician:
        yield technician


async def of_tess(api: Api, tess: Api, **given: Any) -> str:
    return await api.new_ticket(technicianId=tess.subject, **given)


# Carrying out


async def test_commands_are_carried_out_in_order_and_once(api: Api, tess: Api) -> None:
    ticket = await of_tess(api, tess)
    commands = [
        command("note", ticketId=ticket, body="On my way.", baseVersion=1),
        command("status", ticketId=ticket, status="IN_PROGRESS", baseVersion=1),
        command("resolve", ticketId=ticket, resolution="Replaced the battery.", baseVersion=1),
    ]
    first = await apply(tess, *commands)
    assert outcomes(first) == ["APPLIED"] * 3
    now = {"id": ticket, "version": 3, "status": "RESOLVED", "resolution": "Replaced the battery."}
    assert [result["ticket"] for result in first] == [now] * 3
    again = await apply(tess, *commands)
    assert outcomes(again) == ["REPLAYED"] * 3
    assert again[0]["note"] == first[0]["note"]
    assert await kinds(api, ticket) == ["CREATED", "NOTE_ADDED", "STATUS_CHANGED", "RESOLVED"]


async def test_a_late_repetition_does_not_resolve_a_reopened_ticket_again(api: Api, tess: Api) -> None:
    ticket = await of_tess(api, tess)
    resolve = command("resolve", ticketId=ticket, resolution="Done.", baseVersion=1)
    assert outcomes(await apply(tess, resolve)) == ["APPLIED"]
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="OPEN")
    (again,) = await apply(tess, resolve)
    assert (again["outcome"], again["ticket"]["status"]) == ("REPLAYED", "OPEN")


async def test_a_batch_that_was_cut_off_is_continued(api: Api, tess: Api) -> None:
    """Also if the device has forgotten what it knows to be done."""
    ticket = await of_tess(api, tess)
    notes = [command("note", ticketId=ticket, body=f"{n}.") for n in range(6)]
    assert outcomes(await apply(tess, *notes[:4])) == ["APPLIED"] * 4
    assert outcomes(await apply(tess, *notes[2:])) == ["REPLAYED"] * 2 + ["APPLIED"] * 2
    assert (await kinds(api, ticket)).count("NOTE_ADDED") == 6


async def test_the_same_batch_sent_at_once_has_one_effect(api: Api, tess: Api) -> None:
    ticket, other = await of_tess(api, tess), await of_tess(api, tess)
    commands = [
        command("note", ticketId=ticket, body="There."),
        command("status", ticketId=ticket, status="IN_PROGRESS", baseVersion=1),
        command("note", ticketId=other, body="And there."),
        command("resolve", ticketId=ticket, resolution="Done.", baseVersion=1),
    ]
    batches = await asyncio.gather(*(apply(tess, *commands) for _ in range(5)))
    for results in zip(*batches, strict=True):
        assert Counter(outcomes(list(results))) == {"APPLIED": 1, "REPLAYED": 4}
    assert await kinds(api, ticket) == ["CREATED", "NOTE_ADDED", "STATUS_CHANGED", "RESOLVED"]
    assert await kinds(api, other) == ["CREATED", "NOTE_ADDED"]


async def test_a_key_means_the_same_in_a_mutation_and_in_a_command(api: Api, tess: Api) -> None:
    ticket = await of_tess(api, tess)
    note = {"ticketId": ticket, "body": "Once."}
    await tess.done("noteAdd", "__typename", **note, idempotencyKey="both")
    (result,) = await apply(tess, {"note": {"key": "both"} | note})
    assert errors(result) == [("IDEMPOTENCY_CONFLICT", "commands.0.note.key")]
    async with api.technician(await api.new_technician()) as ola:  # another's keys are no matter
        theirs = await of_tess(api, ola)
        assert outcomes(await apply(ola, command("note", key="both", ticketId=theirs, body="Mine."))) == ["APPLIED"]


# Conflicts

RESOLVED = {"status": "RESOLVED"}


async def test_a_status_that_somebody_else_has_changed_is_a_conflict(api: Api, tess: Api) -> None:
    """It holds up nothing else: neither other tickets nor a note on the same."""
    ticket, other = await of_tess(api, tess), await of_tess(api, tess)
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="CLOSED")
    commands = [
        command("status", ticketId=ticket, status="IN_PROGRESS", baseVersion=1),
        command("note", ticketId=ticket, body="Was there.", baseVersion=1),
        command("resolve", ticketId=other, resolution="Done.", baseVersion=1),
        command("resolve", ticketId=ticket, resolution="Done.", baseVersion=1),
    ]
    results = await apply(tess, *commands)
    assert outcomes(results) == ["CONFLICT", "APPLIED", "APPLIED", "CONFLICT"]
    assert [result["conflicts"] for result in results] == [["status"], [], [], ["status"]]
    assert results[0]["ticket"] == {"id": ticket, "version": 2, "status": "CLOSED", "resolution": None}
    assert all(result["userErrors"] == [] for result in results)
    # A conflict has not used its key: the person decides, and the device sends the command anew.
    commands[0]["status"]["baseVersion"] = 2
    (decided,) = await apply(tess, commands[0])
    assert errors(decided) == [("NOT_ALLOWED", "commands.0.status.status")]


@pytest.mark.parametrize(
    ("meanwhile", "sent", "conflicts"),
    [
        # Somebody else has changed what the command would change.
        ({"status": "IN_PROGRESS"}, RESOLVED | {"resolution": "Mine."}, ["status"]),
        (RESOLVED | {"resolution": "Theirs."}, RESOLVED | {"resolution": "Mine."}, ["resolution"]),
        (RESOLVED | {"resolution": "Theirs."}, {"status": "IN_PROGRESS"}, ["status", "resolution"]),
        # They have changed it as the command would.
        ({"status": "IN_PROGRESS"}, {"status": "IN_PROGRESS"}, []),
        (RESOLVED | {"resolution": "Done."}, RESOLVED | {"resolution": "Done."}, []),
        # They have changed something else.
        ({"priority": "URGENT"}, RESOLVED | {"resolution": "Mine."}, []),
        ({"priority": "URGENT"}, {"status": "IN_PROGRESS"}, []),
    ],
)
async def test_conflicts_are_by_field(
    api: Api, tess: Api, meanwhile: dict[str, str], sent: dict[str, str], conflicts: list[str]
) -> None:
    ticket = await of_tess(api, tess)
    await api.done("ticketsBulkUpdate", "__typename", ticketIds=[ticket], **meanwhile)
    await api.done("noteAdd", "__typename", ticketId=ticket, body="Called.")  # which is no change
    (result,) = await apply(tess, command("status", ticketId=ticket, baseVersion=1, **sent))
    assert result["conflicts"] == conflicts
    assert result["outcome"] == ("CONFLICT" if conflicts else "APPLIED")
    assert result["ticket"]["status"] == (meanwhile if conflicts else sent)["status"]


async def test_what_the_device_has_sent_before_is_no_conflict(api: Api, tess: Api) -> None:
    """Even in another batch. What the same person has done elsewhere is."""
    ticket = await of_tess(api, tess)
    start = command("status", ticketId=ticket, status="IN_PROGRESS", baseVersion=1)
    assert outcomes(await apply(tess, start)) == ["APPLIED"]
    done = command("resolve", ticketId=ticket, resolution="Done.", baseVersion=1)
    elsewhere = await apply(tess, done, device="tablet")
    assert (outcomes(elsewhere), elsewhere[0]["conflicts"]) == (["CONFLICT"], ["status"])
    assert outcomes(await apply(tess, done)) == ["APPLIED"]
    # Between what the device has sent, somebody else.
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="OPEN")
    again = command("resolve", ticketId=ticket, resolution="Done again.", baseVersion=1)
    (result,) = await apply(tess, again)
    assert (result["outcome"], result["conflicts"]) == ("CONFLICT", ["status", "resolution"])


async def test_another_devices_key_does_not_hide_a_conflict(api: Api, tess: Api) -> None:
    """Keys are their caller's: a colleague who has used the same one is somebody else."""
    ticket = await of_tess(api, tess)
    free = await of_tess(api, tess)
    await apply(tess, command("note", key="shared", ticketId=free, body="Mine."))
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="IN_PROGRESS", idempotencyKey="shared")
    (result,) = await apply(tess, command("resolve", ticketId=ticket, resolution="Done.", baseVersion=1))
    assert (result["outcome"], result["conflicts"]) == ("CONFLICT", ["status"])


async def test_a_version_that_is_not_known_is_a_conflict(api: Api, tess: Api, database: Database) -> None:
    """From the future, as after a restore, before the first, or from before the events that are kept."""
    ticket = await of_tess(api, tess)
    await api.done("ticketUpdate", "__typename", ticketId=ticket, subject="Louder")
    for version in (3, 0, -1, -(2**31), 2**31 - 1):
        (result,) = await apply(tess, command("status", ticketId=ticket, status="IN_PROGRESS", baseVersion=version))
        assert (result["outcome"], result["conflicts"]) == ("CONFLICT", ["status"])
    changes = "SELECT id::text FROM ticket_events WHERE ticket_id = $1 AND kind <> 'CREATED'"
    await remove_event(database, *(row["id"] for row in await database.fetch(changes, key_of(ticket))))
    (result,) = await apply(tess, command("status", ticketId=ticket, status="IN_PROGRESS", baseVersion=1))
    assert (result["outcome"], result["conflicts"]) == ("CONFLICT", ["status"])
    (result,) = await apply(tess, command("status", ticketId=ticket, status="IN_PROGRESS"))
    assert result["outcome"] == "APPLIED"


# Refusals


async def test_a_command_that_is_refused_changes_nothing_and_holds_up_no_other(
    api: Api, tess: Api, database: Database
) -> None:
    ticket, theirs = await of_tess(api, tess), await api.new_ticket()
    missing, long_ago = "tkt_00000000-0000-7000-8000-000000000000", datetime.now(UTC) - timedelta(days=31)
    ahead = datetime.now(UTC) + timedelta(minutes=5)
    closed = await of_tess(api, tess)
    await api.done("ticketSetStatus", "__typename", ticketId=closed, status="CLOSED")
    somewhere = await api.new_property(await api.new_customer())
    refused = [
        (command("note", ticketId=missing, body="b"), ("NOT_FOUND", "ticketId")),
        (command("note", ticketId=theirs, body="b"), ("NOT_FOUND", "ticketId")),
        (command("note", ticketId="nonsense", body="b"), ("INVALID", "ticketId")),
        (command("note", ticketId=ticket, body=" "), ("REQUIRED", "body")),
        (command("note", ticketId=ticket, body="b", key=" "), ("REQUIRED", "key")),
        (command("note", ticketId=ticket, body="b", key="x" * 201), ("TOO_LONG", "key")),
        (command("note", ticketId=ticket, body="b", key="a\0"), ("INVALID", "key")),
        (command("note", ticketId=ticket, body="b", occurredAt=long_ago.isoformat()), ("INVALID", "occurredAt")),
        (command("note", ticketId=ticket, body="b", occurredAt=ahead.isoformat()), ("INVALID", "occurredAt")),
        (command("status", ticketId=theirs, status="OPEN", baseVersion=1), ("NOT_FOUND", "ticketId")),
        (command("status", ticketId=closed, status="OPEN", baseVersion=2), ("NOT_ALLOWED", "status")),
        (command("status", ticketId=ticket, status="RESOLVED", baseVersion=1), ("RESOLUTION_REQUIRED", "resolution")),
        (command("resolve", ticketId=ticket, resolution="", baseVersion=1), ("REQUIRED", "resolution")),
        (command("attachment", ticketId=theirs, **_file()), ("NOT_FOUND", "ticketId")),
        (command("attachment", **_file()), ("REQUIRED", "ticketId")),
        (command("attachment", noteKey="never sent", **_file()), ("NOT_FOUND", "noteKey")),
        (command("attachment", noteKey="a\0b", **_file()), ("INVALID", "noteKey")),
        (command("attachment", noteKey="x", noteId=f"not_{missing[4:]}", **_file()), ("INVALID", "noteKey")),
        (command("propertyAccessNote", propertyId=somewhere, body="b"), ("NOT_FOUND", "propertyId")),
        (command("propertyAccessNote", propertyId=ticket, body="b"), ("INVALID", "propertyId")),
    ]
    await apply(tess, command("note", ticketId=ticket, body="The device is known."))
    before = await dump(database)
    results = await apply(tess, *(each for each, _ in refused))
    for place, (result, (each, (code, field))) in enumerate(zip(results, refused, strict=True)):
        assert errors(result) == [(code, f"commands.{place}.{next(iter(each))}.{field}")]
        assert result["ticket"] is result["note"] is result["attachment"] is result["property"] is None
    assert await dump(database) == before
    good = command("note", ticketId=ticket, body="Good.")
    assert outcomes(await apply(tess, refused[0][0], good, refused[1][0])) == ["REJECTED", "APPLIED", "REJECTED"]


def _file(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in announced(b"file", **given).items() if name != "ticketId"}


async def test_a_key_is_used_once_within_a_batch(api: Api, tess: Api) -> None:
    ticket = await of_tess(api, tess)
    one = command("note", ticketId=ticket, body="One.")
    other = command("note", key=one["note"]["key"], ticketId=ticket, body="Another.")
    first, second, third = await apply(tess, one, other, one)
    assert (first["outcome"], third["outcome"]) == ("APPLIED", "REPLAYED")
    assert errors(second) == [("IDEMPOTENCY_CONFLICT", "commands.1.note.key")]


async def test_each_role_may_send_what_it_may_do(api: Api) -> None:
    customer, technician = await api.new_customer(), await api.new_technician()
    async with (
        api.customer(customer) as cora,
        api.service() as chatbot,
        api.technician(technician) as tess,
    ):
        own = await cora.new_ticket(customerId=customer)
        chats = await chatbot.new_ticket()
        assigned = await of_tess(api, tess)
        for viewer, ticket, allowed in (
            (cora, own, {"note", "attachment"}),
            (chatbot, chats, {"note", "attachment"}),
            (tess, assigned, {"note", "attachment", "status", "resolve"}),
            (api, assigned, {"note", "attachment", "status"}),
        ):
            commands = [
                command("note", ticketId=ticket, body="Hello."),
                command("attachment", ticketId=ticket, **_file()),
                command("status", ticketId=ticket, status="IN_PROGRESS" if viewer is tess else "CLOSED"),
                command("resolve", ticketId=ticket, resolution="Done."),
            ]
            results = await apply(viewer, *commands)
            names = [next(iter(each)) for each in commands]
            done = {name for name, result in zip(names, results, strict=True) if not result["userErrors"]}
            assert done == allowed, viewer.role
            assert {error["code"] for result in results for error in result["userErrors"]} <= {"NOT_ALLOWED"}
        assert [note["internal"] for note in await _notes(api, own)] == [False]


async def _notes(api: Api, ticket: str) -> list[Any]:
    document = "query($id: ID!) { ticket(by: {id: $id}) { notes { nodes { internal: internalOnly body } } } }"
    nodes: list[Any] = (await api(document, id=ticket))["ticket"]["notes"]["nodes"]
    return nodes


async def test_a_batch_is_refused_as_a_whole_if_it_cannot_be_one(api: Api, tess: Api, database: Database) -> None:
    ticket = await of_tess(api, tess)
    note = {"ticketId": ticket, "body": "b"}
    many = [command("note", **note) for _ in range(101)]
    before = await dump(database)
    for given, code, field in (
        ({"deviceId": "phone", "commands": []}, "REQUIRED", "commands"),
        ({"deviceId": "phone", "commands": many}, "TOO_LONG", "commands"),
        ({"deviceId": " ", "commands": many[:1]}, "REQUIRED", "deviceId"),
        ({"deviceId": "x" * 101, "commands": many[:1]}, "TOO_LONG", "deviceId"),
        ({"deviceId": "a\nb", "commands": many[:1]}, "INVALID", "deviceId"),
        ({"deviceId": "a\0b", "commands": many[:1]}, "INVALID", "deviceId"),
    ):
        payload = await tess.do("commandsApply", "results { key }", **given)
        assert payload["results"] == []
        assert [(e["code"], e["field"]) for e in payload["userErrors"]] == [(code, ["input", field])]
    wrong: list[Any] = [{}, {"note": None}, {"note": {"key": "1", **note}, "status": None}, {"note": note}, 5, None]
    for each in wrong:
        with pytest.raises(Refusal) as refusal:
            commands = [command("note", **note), each]
            await tess.do("commandsApply", "results { key }", deviceId="phone", commands=commands)
        assert refusal.value.codes == ["BAD_USER_INPUT"], each
    assert await dump(database) == before


async def test_the_most_commands_are_carried_out(api: Api, tess: Api) -> None:
    ticket = await of_tess(api, tess)
    results = await apply(tess, *(command("note", ticketId=ticket, body="b") for _ in range(100)))
    assert outcomes(results) == ["APPLIED"] * 100


async def test_a_batch_costs_as_much_as_its_commands(api: Api, tess: Api) -> None:
    ticket = await of_tess(api, tess)
    document = f"""mutation($input: CommandsApplyInput!) {{ commandsApply(input: $input) {{ {RESULTS} }} }}"""

    async def cost(number: int) -> float:
        commands = [command("note", ticketId=ticket, body="b") for _ in range(number)]
        body = {"query": document, "variables": {"input": {"deviceId": "priced", "commands": commands}}}
        response = await tess.http.post("/graphql", json=body | {"extensions": {"cost": True}})
        requested: float = response.json()["extensions"]["cost"]["requested"]
        return requested

    await cost(1)  # which also pays for the document
    one, ten, fifty = await cost(1), await cost(10), await cost(50)
    assert ten - one >= 9 * 2
    assert fifty - one >= 49 * 2
    assert fifty - ten == pytest.approx((ten - one) * 40 / 9, rel=0.3)


# Devices


async def test_a_device_sends_commands_of_its_first_caller_alone(api: Api, tess: Api, database: Database) -> None:
    """Somebody who signs in on the same phone does not send what the one before has left in its queue."""
    ticket = await api.new_ticket()
    note = command("note", ticketId=ticket, body="b")
    await apply(api, note, device="shared")
    async with (
        api.customer(await api.new_customer()) as cora,
        api.service() as chatbot,
        Api(api.server, subject="another boss") as other,
    ):
        before = await dump(database)
        for viewer in (tess, cora, chatbot, other):
            payload = await viewer.do("commandsApply", OF_OTHERS, deviceId="shared of boss", commands=[note])
            assert payload["results"] == []
            assert [(e["code"], e["field"]) for e in payload["userErrors"]] == [("NOT_ALLOWED", ["input", "deviceId"])]
        assert await dump(database) == before
    assert outcomes(await apply(api, note, device="shared")) == ["REPLAYED"]
    assert not await database.fetchval("SELECT count(*) FROM devices WHERE digest::text LIKE '%shared%'")


async def test_of_devices_that_meet_at_an_id_one_gets_it(api: Api) -> None:
    technicians = [await api.new_technician() for _ in range(4)]
    viewers = [api.technician(technician) for technician in technicians]
    tickets = [await of_tess(api, viewer) for viewer in viewers]
    payloads = await asyncio.gather(
        *(
            viewer.do("commandsApply", RESULTS, deviceId="met", commands=[command("note", ticketId=ticket, body="b")])
            for viewer, ticket in zip(viewers, tickets, strict=True)
        )
    )
    assert sorted(len(payload["results"]) for payload in payloads) == [0, 0, 0, 1]
    for viewer in viewers:
        await viewer.close()


async def test_a_caller_has_a_bounded_number_of_devices(api: Api, tess: Api, database: Database) -> None:
    """Those that were used last."""
    ticket = await of_tess(api, tess)
    for n in range(53):
        await apply(tess, command("note", ticketId=ticket, body="b"), device=f"phone {n}")
    caller = f"TECHNICIAN:{tess.subject.removeprefix('tec_')}"
    assert await database.fetchval("SELECT count(*) FROM devices WHERE caller = $1", caller) == 50
    assert outcomes(await apply(tess, command("note", ticketId=ticket, body="b"), device="phone 52")) == ["APPLIED"]


# Files and access notes


async def test_a_photo_goes_with_the_note_of_the_same_batch(api: Api, tess: Api) -> None:
    ticket = await of_tess(api, tess)
    note = command("note", ticketId=ticket, body="The panel:")
    photo = command("attachment", noteKey=note["note"]["key"], **_file())
    noted, attached = await apply(tess, note, photo)
    assert (noted["outcome"], attached["outcome"]) == ("APPLIED", "APPLIED")
    assert attached["attachment"]["note"]["id"] == noted["note"]["id"]
    assert attached["ticket"]["id"] == ticket
    again = (await apply(tess, note, photo))[1]
    assert (again["outcome"], again["attachment"]) == ("REPLAYED", attached["attachment"])
    assert again["uploadUrl"]
    assert (await patch(tess, again["uploadUrl"], 0, b"file")).status_code == 204
    later = (await apply(tess, photo))[0]
    assert (later["outcome"], later["uploadUrl"]) == ("REPLAYED", None)


async def test_a_note_of_somebody_elses_key_gets_no_photo(api: Api, tess: Api) -> None:
    ticket = await of_tess(api, tess)
    await apply(api, command("note", key="boss's", ticketId=ticket, body="b"))
    (result,) = await apply(tess, command("attachment", noteKey="boss's", **_file()))
    assert errors(result) == [("NOT_FOUND", "commands.0.attachment.noteKey")]


async def test_access_notes_are_added_to_those_that_are_there(api: Api, tess: Api) -> None:
    customer = await api.new_customer()
    site = await api.new_property(customer, accessNotes="Ring twice.")
    await of_tess(api, tess, customerId=customer, propertyId=site)
    day = (datetime.now(UTC) - timedelta(days=3)).date()
    name = (await tess("{ me { name } }"))["me"]["name"]
    dog = command("propertyAccessNote", propertyId=site, body="Mind the dog.", occurredAt=f"{day}T12:00:00Z")
    for outcome in ("APPLIED", "REPLAYED"):
        (result,) = await apply(tess, dog)
        notes = f"{day}, {name}: Mind the dog.\n\nRing twice."
        assert (result["outcome"], result["property"]) == (outcome, {"id": site, "accessNotes": notes})
    document = "query($id: ID!) { node(id: $id) { ... on Property { address accessNotes } } }"
    async with api.customer(customer) as cora:
        with pytest.raises(Refusal) as refusal:
            await cora(document, id=site)
        assert refusal.value.codes == ["FORBIDDEN"]
    entry = (await api(NEWEST_ENTRY, id=site))["auditEntries"]["nodes"]
    assert entry == [{"actor": {"name": name}, "changes": [{"field": "accessNotes"}]}]
    await api.done("propertyUpdate", "__typename", propertyId=site, accessNotes="x" * 3_990)
    (full,) = await apply(tess, command("propertyAccessNote", propertyId=site, body="One more."))
    assert errors(full) == [("TOO_LONG", "commands.0.propertyAccessNote.body")]
    cleared = await api.done("propertyUpdate", "property { accessNotes }", propertyId=site, accessNotes=None)
    assert cleared["property"] == {"accessNotes": None}


# When it was done


async def test_history_shows_when_it_was_done_and_when_it_came(api: Api, tess: Api) -> None:
    ticket = await of_tess(api, tess)
    noted, begun = (datetime.now(UTC) - timedelta(days=2, minutes=minutes) for minutes in (7, 5))
    (note, _) = await apply(
        tess,
        command("note", ticketId=ticket, body="There.", occurredAt=noted.isoformat()),
        command("status", ticketId=ticket, status="IN_PROGRESS", baseVersion=1, occurredAt=begun.isoformat()),
    )
    assert datetime.fromisoformat(note["note"]["occurredAt"]) == noted
    events = (await api(HISTORY, id=ticket))["ticket"]["history"]["nodes"]
    assert [event["occurredAt"] and datetime.fromisoformat(event["occurredAt"]) for event in events] == [
        None,
        noted,
        begun,
    ]
    assert all(datetime.fromisoformat(event["at"]) > begun + timedelta(days=1) for event in events)


async def test_a_device_whose_clock_is_fast_has_done_it_now(api: Api, tess: Api) -> None:
    ticket = await of_tess(api, tess)
    ahead = datetime.now(UTC) + timedelta(seconds=40)
    (result,) = await apply(tess, command("note", ticketId=ticket, body="b", occurredAt=ahead.isoformat()))
    assert datetime.fromisoformat(result["note"]["occurredAt"]) < ahead - timedelta(seconds=5)


# Servers that are killed


@pytest.mark.slow
@pytest.mark.parametrize("carried_out", [3, 6])
async def test_a_batch_whose_server_was_killed_is_sent_again(
    api: Api, tess: Api, database: Database, tmp_path: Path, carried_out: int
) -> None:
    """In its middle, and between its last commit and the answer. Each command has one effect in the end."""
    tickets = [await of_tess(api, tess) for _ in range(2)]
    blocked = await of_tess(api, tess)
    commands = [
        command("note", ticketId=tickets[0], body="There."),
        command("status", ticketId=tickets[0], status="IN_PROGRESS", baseVersion=1),
        command("attachment", ticketId=tickets[1], **_file()),
        command("note", ticketId=blocked, body="It waits here, or is done."),
        command("resolve", ticketId=tickets[0], resolution="Done.", baseVersion=1),
        command("status", ticketId=tickets[1], status="IN_PROGRESS", baseVersion=1),
    ]
    settings = tess.server.settings
    assert settings.jwt_secret is not None
    given = {"database_url": tess.server.database_url, "jwt_secret": settings.jwt_secret}
    # What the server waits for: the fourth command's ticket, or a table that only the answer reads.
    lock = f"SELECT FROM tickets WHERE id = '{key_of(blocked)}' FOR UPDATE"
    if carried_out == len(commands):
        lock = "LOCK TABLE articles IN ACCESS EXCLUSIVE MODE"
    with callout_process(tmp_path, **given) as process:
        doomed = Server(process.url, settings, tess.server.database_url, process)
        async with Api(doomed, Role.TECHNICIAN, tess.subject) as phone, database.transaction():
            await database.execute(lock)
            selection = "results { outcome ticket { article { id } } }"
            document = f"mutation($input: CommandsApplyInput!) {{ commandsApply(input: $input) {{ {selection} }} }}"
            input = {"deviceId": f"phone of {tess.subject}", "commands": commands}
            sending = asyncio.create_task(phone.respond(document, {"input": input}))
            await until_blocked(database)
            os.kill(process.pid, signal.SIGKILL)
            with pytest.raises(httpx.RemoteProtocolError):
                await sending
    again = outcomes(await apply(tess, *commands))
    assert again == ["REPLAYED"] * carried_out + ["APPLIED"] * (len(commands) - carried_out)
    assert await kinds(api, tickets[0]) == ["CREATED", "NOTE_ADDED", "STATUS_CHANGED", "RESOLVED"]
    assert await kinds(api, tickets[1]) == ["CREATED", "STATUS_CHANGED"]
    assert await kinds(api, blocked) == ["CREATED", "NOTE_ADDED"]
    files = "SELECT count(*) FROM attachments WHERE ticket_id = $1"
    assert await database.fetchval(files, key_of(tickets[1])) == 1
