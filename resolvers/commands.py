"""Commands: what was done on a device, perhaps offline, sent together and carried out in order.

Each command has an idempotency key and is a transaction by itself, so a batch whose answer was lost is sent again as it
is. A command with a `baseVersion`, the version of the ticket that its author saw, is in conflict if somebody else has
changed meanwhile what it would change: that is read off the event log, field by field. What the same device has sent
before does not count, so that several commands can be based on one version.

A command that is refused or in conflict changes nothing, and holds up no other; later ones on the same ticket are
judged by themselves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
from sqlalchemy import FromClause, Text, func, select
from sqlalchemy.dialects.postgresql import JSON, UUID

from db import limits
from db.entities import ASSIGNMENT, ATTACHMENT, NOTE
from db.enums import EVERYONE, STAFF, ActorKind, CommandOutcome, Role, TicketStatus
from db.events.log import Origin
from db.lists.criteria import only_one
from db.sql import Expression, Row, json_rows
from db.visibility import ViewerParameter
from resolvers import assignment, attachment, devices, note, ticket_rules
from resolvers import property as properties
from resolvers import ticket as tickets
from resolvers.checks import Checks
from resolvers.idempotency import KeyedRequest, checked_key, once
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, Transaction, UserErrorCode

CHANGES_MAX: Final = 200
"""Changes of a ticket since a command's version that are looked at; after more, all that the command would change
counts as changed."""

JUDGED: Final = ("status", "resolution")
"""The columns that a command can change and that can be in conflict, which are also the names of their fields."""

# The newest changes of a ticket: which of the columns each has changed, unless a command of the device has made it.
_CHANGED: Final = f"""
SELECT CASE WHEN own THEN '{{}}' ELSE array_remove(ARRAY[
    {", ".join(f"CASE WHEN before -> '{name}' IS DISTINCT FROM after -> '{name}' THEN '{name}' END" for name in JUDGED)}
], NULL) END AS columns
FROM ticket_events AS event, LATERAL (SELECT EXISTS (
    SELECT FROM idempotency_keys AS sent
    WHERE sent.caller = $3 AND sent.key = event.idempotency_key AND sent.device = $6
        AND event.actor_kind = $4::actor_kind AND event.actor_id = $5
) AS own) AS side
WHERE ticket_id = $1::uuid AND kind NOT IN ('CREATED', 'NOTE_ADDED', 'ATTACHMENT_ADDED', 'ATTACHMENT_REJECTED')
    AND before -> 'version' IS DISTINCT FROM after -> 'version'
ORDER BY at DESC LIMIT $2"""

_NOTE_OF_KEY: Final = """
SELECT notes.id::text FROM idempotency_keys AS sent JOIN notes ON notes.id = sent.object_id
WHERE sent.caller = $1 AND sent.key = $2"""


class Conflict(Refused):
    """Somebody else has changed these fields of the ticket since the command's version."""

    def __init__(self, fields: set[str], ticket_id: str) -> None:
        super().__init__(object_id=ticket_id)
        self.fields = sorted(fields, key=JUDGED.index)


@dataclass(frozen=True, slots=True)
class _Sender:
    """Who sends a batch, and from which device: the digest of its id."""

    call: Call
    device: bytes


Carrying = Callable[["_Sender", Call, Input], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of command: who may send it, and what its outcome's object is in the results."""

    carry_out: Carrying
    roles: frozenset[Role]
    result: str
    again: Callable[[Call, Outcome], Awaitable[Outcome]] | None = None


async def apply(call: Call, input: Input) -> Outcome:
    """Carry out a device's commands in order. The outcome has a result for each. Raises `Refused` if there are none or
    too many, or if the device is somebody else's; errors of the database end the batch, which can be sent again."""
    commands = [only_one(command) for command in input["commands"][: limits.COMMANDS_MAX]]
    checks = Checks()
    if not commands:
        checks.object_to(UserErrorCode.REQUIRED, "At least one command is required.", "commands")
    if len(input["commands"]) > limits.COMMANDS_MAX:
        message = f"At most {limits.COMMANDS_MAX} commands can be sent at once."
        checks.object_to(UserErrorCode.TOO_LONG, message, "commands")
    checks.finish()
    sender = _Sender(call, await devices.of_caller(call, input["deviceId"]))
    return Outcome(
        extra={"results": [await _result(sender, place, *command) for place, command in enumerate(commands)]}
    )


async def _result(sender: _Sender, place: int, name: str, command: Input) -> dict[str, Any]:
    """Carry out a command, and return its result as the payload reads it (`results`)."""
    kind = _KINDS[name]
    result: dict[str, Any] = {"key": _shown(command["key"]), "conflicts": [], "errors": []}
    try:
        outcome = await _carried_out(sender, kind, name, command)
    except Conflict as conflict:
        return result | {
            "outcome": CommandOutcome.CONFLICT,
            "ticket_id": conflict.object_id,
            "conflicts": conflict.fields,
        }
    except Refused as refused:
        errors = [_of_command(error, place, name).as_json() for error in refused.errors]
        return result | {"outcome": CommandOutcome.REJECTED, "errors": errors, kind.result: refused.object_id}
    done = CommandOutcome.REPLAYED if outcome.repeated else CommandOutcome.APPLIED
    return result | {"outcome": done, kind.result: outcome.object_id, **outcome.unkept}


def _shown(key: str) -> str:
    """The key as an answer can have it, even if it is refused."""
    return key.encode(errors="replace").decode().replace("\0", "\ufffd")


def _of_command(error: MutationError, place: int, name: str) -> MutationError:
    """The error of a mutation with the path in the batch."""
    fields = ("key" if field == "idempotencyKey" else field for field in error.field)
    return replace(error, field=("commands", str(place), name, *fields))


async def _carried_out(sender: _Sender, kind: _Kind, name: str, command: Input) -> Outcome:
    call = sender.call
    key = checked_key(command["key"], "idempotencyKey")
    if call.viewer.role not in kind.roles:
        raise Refused(MutationError(UserErrorCode.NOT_ALLOWED, f"The role {call.viewer.role.lower()} cannot do this."))
    occurred_at = command.get("occurredAt")
    call = replace(call, origin=Origin(key, None if occurred_at is None else min(occurred_at, datetime.now(UTC))))
    content = {field: value for field, value in command.items() if field != "key"}
    request = KeyedRequest.of(call.viewer, key, f"commandsApply.{name}", content, sender.device)
    # The handlers of mutations look for the key there.
    input = {**content, "idempotencyKey": key}
    try:
        outcome = await once(call, request, lambda keyed: kind.carry_out(sender, keyed, input))
    except asyncpg.SerializationError:  # raised by triggers alone: there is no other isolation level
        raise Refused(MutationError(UserErrorCode.NOT_ALLOWED, "The customer has been erased.")) from None
    if outcome.repeated and kind.again is not None:
        return replace(await kind.again(call, outcome), repeated=True)
    return outcome


# The kinds of commands


async def _note(sender: _Sender, call: Call, input: Input) -> Outcome:
    return await note.add(call, input)


async def _status(sender: _Sender, call: Call, input: Input) -> Outcome:
    checks = Checks()
    return await _change(sender, call, input, tickets.wanted_by_status(call, input, checks), checks)


async def _resolve(sender: _Sender, call: Call, input: Input) -> Outcome:
    checks = Checks()
    resolution = checks.text(input["resolution"], limits.RESOLUTION_MAX, "resolution")
    return await _change(sender, call, input, {"status": TicketStatus.RESOLVED, "resolution": resolution}, checks)


async def _assignment(sender: _Sender, call: Call, input: Input) -> Outcome:
    return await assignment.advance(call, input)


async def _attachment(sender: _Sender, call: Call, input: Input) -> Outcome:
    if input.get("noteKey") is None:
        return await attachment.create(call, input)
    checks = Checks()
    if input.get("noteId") is not None:
        checks.object_to(UserErrorCode.INVALID, "Set either the note id or the note key, not both.", "noteKey")
    checks.finish()
    note_key = checked_key(input["noteKey"], "noteKey")
    note_id = await call.database.fetchval(_NOTE_OF_KEY, call.viewer.role_and_id, note_key)
    if note_id is None:
        checks.object_to(UserErrorCode.NOT_FOUND, "No command with this key has added a note.", "noteKey")
    checks.finish()
    return await attachment.create(call, {**input, "noteId": f"{NOTE.prefix}_{note_id}"})


async def _property_access_note(sender: _Sender, call: Call, input: Input) -> Outcome:
    return await properties.add_access_note(call, input)


_KINDS: Final[Mapping[str, _Kind]] = {
    "note": _Kind(_note, EVERYONE, "note_id"),
    "status": _Kind(_status, STAFF | {Role.CUSTOMER}, "ticket_id"),
    "resolve": _Kind(_resolve, STAFF, "ticket_id"),
    "assignment": _Kind(_assignment, STAFF, "assignment_id"),
    "attachment": _Kind(_attachment, EVERYONE, "attachment_id", attachment.again),
    "propertyAccessNote": _Kind(_property_access_note, STAFF, "property_id"),
}


async def _change(sender: _Sender, call: Call, input: Input, wanted: Mapping[str, Any], checks: Checks) -> Outcome:
    """Change the ticket, unless somebody else has changed one of the columns meanwhile. A column that has its wanted
    value already is in no conflict."""
    checks.occurred_at(input)
    ticket_id = str(checks.key(input["ticketId"], "tkt", "ticket", "ticketId"))
    checks.finish()
    async with call.transaction(ticket_id) as transaction:
        ticket = await tickets.lock_ticket(transaction, call, ticket_id)
        changed = await _changed_since(transaction, sender, ticket, input.get("baseVersion"))
        change = ticket_rules.change(ticket, wanted, call.viewer.role, checks)
        # A change that the rules forbid now may have been allowed when its author made it.
        conflicts = changed if checks.errors else changed & change.values.keys()
        if conflicts:
            raise Conflict(conflicts, ticket_id)
        checks.finish()
        await tickets.record(transaction, call, ticket, change)
    return Outcome(ticket_id)


async def _changed_since(
    transaction: Transaction, sender: _Sender, ticket: Mapping[str, Any], version: int | None
) -> set[str]:
    """The columns among `JUDGED` that somebody else than the device has changed since the ticket had this version; all
    of them if that is not known: the events have been pruned, or the ticket has never had it."""
    if version is None or version == ticket["version"]:
        return set()
    number = ticket["version"] - version
    if not 0 < number <= CHANGES_MAX or version < 1:
        return set(JUDGED)
    viewer = sender.call.viewer
    kind = ActorKind(viewer.role.value)
    rows = await transaction.fetch(
        _CHANGED, str(ticket["id"]), number, viewer.role_and_id, kind, viewer.id, sender.device
    )
    if len(rows) < number:
        return set(JUDGED)
    return {column for row in rows for column in row["columns"]}


# The results


def results(outcome: Row, viewer: ViewerParameter) -> FromClause:
    """The results in the outcome of `apply`, in the order of the commands."""
    names = ("ticket_id", "note_id", "assignment_id", "attachment_id", "property_id")
    keys = dict.fromkeys(names, UUID(as_uuid=False))
    return json_rows(
        outcome.c.extra["results"],
        key=Text,
        outcome=Text,
        conflicts=JSON,
        errors=JSON,
        upload_url=Text,
        **keys,
    )


def ticket_of(row: Row, viewer: ViewerParameter) -> Expression:
    """The key of the ticket that a result is about: the one that was changed, or the one that the note, the assignment
    or the file is on."""
    others = ((NOTE, row.c.note_id), (ASSIGNMENT, row.c.assignment_id), (ATTACHMENT, row.c.attachment_id))
    return func.coalesce(row.c.ticket_id, *(_ticket_with(entity.table.alias(), key, row) for entity, key in others))


def _ticket_with(other: Row, key: Expression, row: Row) -> Expression:
    return select(other.c.ticket_id).where(other.c.id == key).correlate(row).scalar_subquery()
