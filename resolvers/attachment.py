"""Attachments: files on tickets and notes.

A file is attached by `attachmentCreate`, and then uploaded (`resolvers/upload.py`); or it comes with a mail, and is
kept at once (`put`, `keep`). In both cases its object is stored before a row names it, the file worker
(`callout/files/worker.py`) checks it, and the row becomes READY or REJECTED together with its event, under the ticket's
row lock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import BigInteger, Integer, Text, bindparam, func, insert, literal_column, select, update
from sqlalchemy.dialects.postgresql import UUID

from db import limits, models, visibility
from db.enums import STAFF, ActorKind, AttachmentState, Role, TicketEventKind
from db.events import log as event_log
from db.events.log import Origin
from db.ids import new_id
from db.object_store import ObjectStore, Stored, StoreError
from db.postgres.statement import Statement
from db.sql import Condition, Expression, table
from db.viewer import Viewer
from db.visibility import ViewerParameter
from notifiers import rules
from notifiers.enqueue import deliveries
from notifiers.outgoing_files import TO_CUSTOMER
from resolvers import ticket_rules
from resolvers.attachment_rules import UNKNOWN_TYPE, event_is_public, file_name, is_for_customer, media_type
from resolvers.checks import Checks
from resolvers.file_links import UPLOAD
from resolvers.grace import in_grace
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, Transaction, UserErrorCode
from resolvers.ticket import lock_ticket, reopen

_ATTACHMENTS = table(models.AttachmentRow)
_NOTES = table(models.NoteRow)
_TICKETS = table(models.TicketRow)
_UUID = UUID(as_uuid=False)

_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_MEBIBYTE: Final = 2**20

LOCK: Final = 20
"""The first number of the advisory locks of objects; the second is made of the digest (`lock_number`)."""


class ObjectGone(StoreError):
    """The object was deleted before a row could name it, because nothing had named it for a day: store it again."""


def _id(name: str = "id") -> Expression:
    return bindparam(name, type_=_UUID)


_GIVEN = (
    *("id", "ticket_id", "note_id", "customer_id", "name", "content_type", "size", "sha256", "internal_only"),
    *("creator_kind", "creator_id", "creator_name", "is_answer", "occurred_at", "idempotency_key"),
)
_INSERT = Statement(
    insert(_ATTACHMENTS).values(
        {name: bindparam(name, type_=_ATTACHMENTS.c[name].type) for name in _GIVEN}
        | {"upload_size": bindparam("size", type_=BigInteger()), "created_at": func.clock_timestamp()}
    )
)
_COUNTED: Condition = _ATTACHMENTS.c.state.not_in(
    [literal_column(f"'{state}'") for state in (AttachmentState.REJECTED, AttachmentState.ERASED)]
)
_OF_TICKET = Statement(
    select(func.count(), func.coalesce(func.sum(_ATTACHMENTS.c.size), literal_column("0"))).where(
        _ATTACHMENTS.c.ticket_id == _id("ticket_id"), _COUNTED
    )
)
_OF_VIEWER = Statement(
    select(func.count(), func.coalesce(func.sum(_ATTACHMENTS.c.size), literal_column("0"))).where(
        _ATTACHMENTS.c.creator_id == bindparam("creator_id", type_=Text()),
        _ATTACHMENTS.c.creator_kind == bindparam("creator_kind", type_=models.ACTOR_KIND),
        _ATTACHMENTS.c.created_at > func.now() - literal_column("interval '24 hours'"),
    )
)
_TICKET_OF = Statement(select(_ATTACHMENTS.c.ticket_id).where(_ATTACHMENTS.c.id == _id()))
_ARRIVED = Statement(
    update(_ATTACHMENTS)
    .where(_ATTACHMENTS.c.id == _id(), _ATTACHMENTS.c.state == AttachmentState.UPLOADING)
    .values(state=literal_column(f"'{AttachmentState.SCANNING}'"))
)
_LOCK_TICKET = Statement(
    select(_TICKETS.c.customer_id, _TICKETS.c.status, in_grace(_TICKETS).label("in_grace"))
    .where(_TICKETS.c.id == _id())
    .with_for_update()
)
_HOLD_OBJECT = Statement(
    select(func.pg_advisory_xact_lock_shared(literal_column(str(LOCK)), bindparam("number", type_=Integer())))
)


async def create(call: Call, input: Input) -> Outcome:
    """Announce a file, which the client then uploads to the `upload_url` of the outcome."""
    checks = Checks()
    target = _target(input, checks)
    internal_only = input.get("internalOnly")
    if internal_only and call.viewer.role not in STAFF:
        message = "Only admins and technicians can attach internal files."
        checks.object_to(UserErrorCode.NOT_ALLOWED, message, "internalOnly")
    checks.occurred_at(input)
    values = _described(call, input, checks)
    attachment_id = new_id()
    async with call.transaction(attachment_id) as transaction:
        values |= await _locked(transaction, call, *target, internal_only)
        reason = await _objection(transaction, call, str(values["ticket_id"]), values["size"])
        if reason is not None:
            raise Refused(MutationError(UserErrorCode.NOT_ALLOWED, reason))
        # The files of a note, or of a mail, come with a text that is the answer.
        is_answer = call.viewer.role is Role.CUSTOMER and values["note_id"] is None
        values |= {"occurred_at": call.origin.occurred_at, "idempotency_key": call.origin.key}
        await _INSERT.execute(transaction, id=attachment_id, is_answer=is_answer, **values, **_creator(call.viewer))
    return _created(call, attachment_id)


async def again(call: Call, earlier: Outcome) -> Outcome:
    """The outcome of `create` for a request that is repeated. Raises `Refused` if the attachment is gone."""
    attachment_id = str(earlier.object_id)
    found = await _state(call.viewer.role).fetchrow(call.database, id=attachment_id, viewer=call.viewer.id)
    if found is None:
        message = "This file was not uploaded in time, or it was rejected; use a new idempotency key."
        raise Refused(MutationError(UserErrorCode.NOT_FOUND, message, ("idempotencyKey",)))
    uploading = found["visible"] and found["state"] == AttachmentState.UPLOADING
    return _created(call, attachment_id) if uploading else earlier


async def put(call: Call, data: bytes) -> Stored:
    """Store a file that `keep` will attach. Call it before the transaction, because it can take a while; raises
    `StoreError`."""
    return await call.files.store.put(data)


async def keep(
    transaction: Transaction,
    call: Call,
    ticket: Mapping[str, Any],
    note_id: str | None,
    name: str,
    content_type: str,
    stored: Stored,
    *,
    internal_only: bool,
) -> str:
    """Attach a file that has been stored to a ticket that the transaction has locked, and return the attachment's id.
    `ticket` has the ticket's `id` and `customer_id`; `call.viewer` is the one who has sent the file.

    A file that exceeds a limit is REJECTED, with a reason. Raises `ObjectGone`, and the store's errors."""
    attachment_id = new_id()
    values = {"id": attachment_id, "ticket_id": ticket["id"], "customer_id": ticket["customer_id"], "note_id": note_id}
    values |= {"name": file_name(name), "content_type": media_type(content_type) or UNKNOWN_TYPE}
    values |= {"size": stored.size, "sha256": stored.digest, "internal_only": internal_only}
    reason = await _objection(transaction, call, str(ticket["id"]), stored.size)
    await _INSERT.execute(transaction, is_answer=False, **values, **_creator(call.viewer))
    if reason is None:
        await arrived(transaction, call.files.store, attachment_id, stored)
    else:
        await settle(transaction, attachment_id, AttachmentState.REJECTED, reason=reason)
    return attachment_id


async def arrived(transaction: Transaction, store: ObjectStore, attachment_id: str, stored: Stored) -> None:
    """Record that the attachment's file has arrived and is stored; the file worker checks it. Raises `ObjectGone`."""
    await hold_object(transaction, store, stored.digest)
    await _ARRIVED.execute(transaction, id=attachment_id)


async def hold_object(transaction: Transaction, store: ObjectStore, digest: bytes) -> None:
    """Let the transaction name an object: it is there, and is not deleted before the transaction ends. Raises
    `ObjectGone`."""
    await _HOLD_OBJECT.execute(transaction, number=lock_number(digest))
    if not await store.holds(digest):
        raise ObjectGone("the object was deleted meanwhile")


def lock_number(digest: bytes) -> int:
    return int.from_bytes(digest[:4], signed=True)


async def settle(
    transaction: Transaction,
    attachment_id: str,
    state: AttachmentState,
    *,
    reason: str | None = None,
    **columns: Any,
) -> bool:
    """Make an attachment READY, or REJECTED with a reason, and write the event, whose actor is the one who attached it.
    `columns` are further columns to change: an object that one of them names must be held (`hold_object`). A customer's
    file without a note is an answer, once it is READY. Returns False, and does nothing, if there is no such attachment
    or it is settled already.

    Locks the ticket, and then the attachment."""
    ticket_id = await _TICKET_OF.fetchval(transaction, id=attachment_id)
    if ticket_id is None:
        return False
    ticket = await _LOCK_TICKET.fetchrow(transaction, id=str(ticket_id))
    new = {f"new_{name}": value for name, value in {"state": state, "reason": reason, **columns}.items()}
    settled = await _settlement(tuple(sorted(new))).fetchrow(transaction, id=attachment_id, **new)
    if settled is None:
        return False
    ready = state is AttachmentState.READY
    # The ticket may have got another customer meanwhile, who must not learn that the former one's has a file.
    unchanged = settled["customer_id"] == ticket["customer_id"]
    creator = Viewer(Role(settled["creator_kind"]), settled["creator_id"], settled["creator_name"])
    origin = Origin(settled["idempotency_key"], settled["occurred_at"])
    is_answer = ready and unchanged and settled["is_answer"]
    reopening = ticket_rules.answered(ticket) if is_answer and ticket_rules.takes_answers(ticket) else None
    to_customer = TO_CUSTOMER if ready and unchanged and is_for_customer(settled) else None
    to_staff = deliveries(creator, rules.of_answer(reopens=bool(reopening)), gathered=True) if is_answer else None
    await event_log.attachment(
        transaction,
        creator,
        str(ticket_id),
        attachment_id,
        TicketEventKind.ATTACHMENT_ADDED if ready else TicketEventKind.ATTACHMENT_REJECTED,
        public=unchanged and event_is_public(settled, state),
        origin=origin,
        deliveries=to_customer or to_staff,
    )
    if reopening:
        await reopen(transaction, creator, str(ticket_id), reopening, origin)
    return True


@cache
def _settlement(parameters: tuple[str, ...]) -> Statement:
    names = {parameter: parameter.removeprefix("new_") for parameter in parameters}
    values = {name: bindparam(each, type_=_ATTACHMENTS.c[name].type) for each, name in names.items()}
    changed = update(_ATTACHMENTS).where(_ATTACHMENTS.c.id == _id(), _ATTACHMENTS.c.finished_at.is_(None))
    return Statement(changed.values({**values, "finished_at": func.clock_timestamp()}).returning(*_ATTACHMENTS.c))


# Steps of `create`


def _target(input: Input, checks: Checks) -> tuple[str | None, str | None]:
    """The keys of the ticket and of the note, at least one of which is given."""
    if input.get("ticketId") is None and input.get("noteId") is None:
        checks.object_to(UserErrorCode.REQUIRED, "The ticket id or the note id is required.", "ticketId")
    ticket_id = checks.key(input.get("ticketId"), "tkt", "ticket", "ticketId")
    return ticket_id, checks.key(input.get("noteId"), "not", "note", "noteId")


async def _locked(
    transaction: Transaction, call: Call, ticket_id: str | None, note_id: str | None, internal_only: bool | None
) -> dict[str, Any]:
    """Lock the ticket, and return the columns that say what the file is on and who sees it."""
    if note_id is None:
        ticket = await lock_ticket(transaction, call, str(ticket_id))
        if internal_only is None:
            internal_only = call.viewer.role in STAFF
        owner = ticket["customer_id"]
        return {"ticket_id": ticket_id, "note_id": None, "customer_id": owner, "internal_only": internal_only}
    note = await _note(transaction, call, note_id, internal_only)
    if ticket_id not in (None, str(note["ticket_id"])):
        message = "The note is on another ticket."
        raise Refused(MutationError(UserErrorCode.MISMATCH, message, ("noteId",)))
    await lock_ticket(transaction, call, str(note["ticket_id"]))
    return {name: note[name] for name in ("ticket_id", "customer_id", "internal_only")} | {"note_id": note_id}


def _described(call: Call, input: Input, checks: Checks) -> dict[str, Any]:
    name = checks.line(input["name"], limits.FILE_NAME_MAX, "name")
    content_type = media_type(input["contentType"])
    if content_type is None:
        message = "Content type must be a media type such as image/jpeg."
        checks.object_to(UserErrorCode.INVALID, message, "contentType")
    if not _SHA256.fullmatch(input["sha256"]):
        checks.object_to(UserErrorCode.INVALID, "Sha256 must have 64 hexadecimal digits.", "sha256")
    size, most = input["size"], call.files.limits.file_bytes
    if not 1 <= size <= most:
        message = f"The file must have at least one byte, and at most {_mebibytes(most)}."
        checks.object_to(UserErrorCode.INVALID, message, "size")
    checks.finish()
    digest = bytes.fromhex(input["sha256"])
    return {"name": file_name(name), "content_type": content_type, "size": size, "sha256": digest}


async def _note(transaction: Transaction, call: Call, note_id: str, internal_only: bool | None) -> Mapping[str, Any]:
    """The note with this id, if the viewer may attach files to it: they have written it."""
    note: Mapping[str, Any] | None = await _visible_note(call.viewer.role).fetchrow(
        transaction, id=note_id, viewer=call.viewer.id
    )
    if note is None:
        raise Refused(MutationError(UserErrorCode.NOT_FOUND, "There is no such note.", ("noteId",)))
    if (note["author_kind"], note["author_id"]) != (call.viewer.role, call.viewer.id):
        message = "Only the author of a note can attach files to it."
        raise Refused(MutationError(UserErrorCode.NOT_ALLOWED, message, ("noteId",)))
    if internal_only is not None and internal_only != note["internal_only"]:
        message = "The files of a note are internal if the note is."
        raise Refused(MutationError(UserErrorCode.MISMATCH, message, ("internalOnly",)))
    return note


@cache
def _visible_note(role: Role) -> Statement:
    viewer = ViewerParameter(role, bindparam("viewer", type_=Text()))
    return Statement(select(_NOTES).where(_NOTES.c.id == _id(), visibility.note(_NOTES, viewer)))


@cache
def _state(role: Role) -> Statement:
    visible = visibility.attachment(_ATTACHMENTS, ViewerParameter(role, bindparam("viewer", type_=Text())))
    return Statement(select(_ATTACHMENTS.c.state, visible.label("visible")).where(_ATTACHMENTS.c.id == _id()))


def _created(call: Call, attachment_id: str) -> Outcome:
    assert call.links is not None, "there is a client"
    return Outcome(attachment_id, unkept={"upload_url": call.links.url(UPLOAD, attachment_id, call.viewer)})


def _creator(viewer: Viewer) -> dict[str, Any]:
    return {"creator_kind": ActorKind(viewer.role.value), "creator_id": viewer.id, "creator_name": viewer.name}


async def _objection(transaction: Transaction, call: Call, ticket_id: str, size: int) -> str | None:
    """Why no file of this size can be attached to the ticket, which the transaction has locked, by the viewer; None if
    it can."""
    most = call.files.limits
    if size > most.file_bytes:
        return f"A file can have at most {_mebibytes(most.file_bytes)}."
    files, used = await _OF_TICKET.fetchrow(transaction, ticket_id=ticket_id)
    if files >= most.ticket_files or used + size > most.ticket_bytes:
        return f"A ticket can have at most {most.ticket_files} files, of {_mebibytes(most.ticket_bytes)} together."
    files_of_a_day, bytes_of_a_day = most.of_a_day(call.viewer.role)
    creator = _creator(call.viewer)
    files, used = await _OF_VIEWER.fetchrow(
        transaction, creator_id=creator["creator_id"], creator_kind=creator["creator_kind"]
    )
    if files >= files_of_a_day or used + size > bytes_of_a_day:
        return f"In 24 hours, at most {files_of_a_day} files of {_mebibytes(bytes_of_a_day)} together can be attached."
    return None


def _mebibytes(size: int) -> str:
    return f"{size / _MEBIBYTE:,.3g} MiB"
