"""Uploads: how the file of an attachment arrives.

An upload is known by the offset that it has reached, which is the end of the parts that the store has. When all parts
are there, they are joined, if they have the digest that was announced; otherwise the attachment is REJECTED. This can
be done any number of times, by any server: the first transaction that settles the attachment decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import Interval, Text, bindparam, cast, delete, exists, func, not_, or_, select, true
from sqlalchemy.dialects.postgresql import UUID

from db import models, visibility
from db.enums import AttachmentState, Role, ServiceScope
from db.object_store import PIECE, Different, ObjectStore, Stored, UploadPart
from db.postgres.pool import Database
from db.postgres.statement import Queryable, Statement
from db.sql import Condition, Row, table
from db.visibility import ViewerParameter
from resolvers.attachment import arrived, settle
from resolvers.attachment_fields import is_ready

_ATTACHMENTS = table(models.AttachmentRow)
_TECHNICIANS = table(models.TechnicianRow)
_CUSTOMERS = table(models.CustomerRow)
_KEYS = table(models.ApiKeyRow)
_UUID = UUID(as_uuid=False)

MISMATCH: Final = "The file that arrived was not the one that was announced: its SHA-256 digest is another."
IN_PIECES: Final = "The file arrived in too many small pieces."

PIECES_MAX: Final = 1_000
"""An upload may be in this many parts more than its size makes necessary: each time it is cut off begins another."""

_AT_ONCE: Final = 100  # expired uploads in one round


@dataclass(frozen=True, slots=True)
class Upload:
    """The upload of an attachment. `size` is in bytes."""

    id: str
    state: AttachmentState
    size: int
    digest: bytes
    created_at: datetime

    @classmethod
    def of(cls, row: Any) -> Upload:
        state = AttachmentState(row["state"])
        return cls(str(row["id"]), state, row["upload_size"], row["sha256"] or b"", row["created_at"])


def reached(parts: Sequence[UploadPart]) -> int:
    """The offset that an upload with these parts has reached."""
    return parts[-1].start + parts[-1].size if parts else 0


def is_in_pieces(upload: Upload, parts: Sequence[UploadPart]) -> bool:
    """Whether the upload is in so many parts that it has to be given up."""
    return len(parts) >= upload.size // PIECE + PIECES_MAX


async def find(database: Queryable, role: Role, viewer_id: str, attachment_id: str) -> Upload | None:
    """The upload, if the viewer has created it, and still sees the ticket."""
    row = await _own(role).fetchrow(database, id=attachment_id, viewer=viewer_id)
    return None if row is None else Upload.of(row)


async def find_readable(database: Queryable, role: Role, viewer_id: str, attachment_id: str) -> Any:
    """The row of a READY attachment, if the viewer sees it."""
    return await _readable(role).fetchrow(database, id=attachment_id, viewer=viewer_id)


async def finish(database: Database, store: ObjectStore, upload: Upload, parts: Sequence[UploadPart]) -> bool:
    """Finish an upload that has arrived completely. Returns whether its file is the one that was announced. Raises the
    errors of the database and of the store; then it can be done again."""
    try:
        await store.join(upload.id, parts, upload.digest)
    except Different:
        await reject(database, store, upload, MISMATCH)
        return False
    async with database.transaction() as transaction:
        await arrived(transaction, store, upload.id, Stored(upload.digest, upload.size))
    await store.drop(upload.id)
    return True


async def reject(database: Database, store: ObjectStore, upload: Upload, reason: str) -> None:
    """Reject an upload, and delete what has arrived."""
    async with database.transaction() as transaction:
        await settle(transaction, upload.id, AttachmentState.REJECTED, reason=reason)
    await store.drop(upload.id)


async def terminate(database: Database, store: ObjectStore, upload: Upload) -> bool:
    """Delete an attachment that has not arrived completely, and what has arrived of it. Returns False if it has."""
    deleted = await _DELETE.fetchval(database, id=upload.id)
    if deleted is None:
        return False
    await store.drop(upload.id)
    return True


async def expire(database: Database, store: ObjectStore, after: timedelta) -> int:
    """Delete uploads that have taken longer than `after`, some at a time, and return their number. One that has arrived
    completely is finished instead: the server may have been killed before it could do so."""
    number = 0
    for row in await _EXPIRED.fetch(database, after=after):
        upload = Upload.of(row)
        parts = await store.parts(upload.id)
        if reached(parts) == upload.size:
            await finish(database, store, upload, parts)
        else:
            number += await terminate(database, store, upload)
    return number


def _viewer(role: Role) -> ViewerParameter:
    return ViewerParameter(role, bindparam("viewer", type_=Text()))


@cache
def _own(role: Role) -> Statement:
    viewer = _viewer(role)
    wanted = _ATTACHMENTS.c.id == bindparam("id", type_=_UUID)
    seen = visibility.attachment(_ATTACHMENTS, viewer)
    return Statement(
        select(_ATTACHMENTS).where(wanted, visibility.created(_ATTACHMENTS, viewer), seen, _has_access(viewer))
    )


@cache
def _readable(role: Role) -> Statement:
    viewer = _viewer(role)
    wanted = _ATTACHMENTS.c.id == bindparam("id", type_=_UUID)
    seen = visibility.attachment(_ATTACHMENTS, viewer)
    return Statement(select(_ATTACHMENTS).where(wanted, is_ready(_ATTACHMENTS), seen, _has_access(viewer)))


def _has_access(viewer: ViewerParameter) -> Condition:
    """The viewer still has access at all, as `Authenticator.still_there` checks it for a token."""

    def there(rows: Row, *conditions: Condition) -> Condition:
        return exists(select(rows.c.id).where(*conditions).correlate_except(rows))

    match viewer.role:
        case Role.TECHNICIAN:
            return there(_TECHNICIANS, _TECHNICIANS.c.id == viewer.uuid, _TECHNICIANS.c.active)
        case Role.CUSTOMER:
            return there(_CUSTOMERS, _CUSTOMERS.c.id == viewer.uuid, _CUSTOMERS.c.erased_at.is_(None))
        case Role.SERVICE:  # one with a JWT has no row
            revoked, expired = _KEYS.c.revoked_at.is_not(None), _KEYS.c.expires_at <= func.now()
            elsewhere = _KEYS.c.scope != ServiceScope.CHATBOT
            return not_(there(_KEYS, cast(_KEYS.c.id, Text) == viewer.id, or_(revoked, expired, elsewhere)))
        case Role.ADMIN:
            return true()


_DELETE = Statement(
    delete(_ATTACHMENTS)
    .where(_ATTACHMENTS.c.id == bindparam("id", type_=_UUID), _ATTACHMENTS.c.state == AttachmentState.UPLOADING)
    .returning(_ATTACHMENTS.c.id)
)
_EXPIRED = Statement(
    select(_ATTACHMENTS)
    .where(
        _ATTACHMENTS.c.finished_at.is_(None),
        _ATTACHMENTS.c.state == AttachmentState.UPLOADING,
        _ATTACHMENTS.c.created_at < func.now() - bindparam("after", type_=Interval()),
    )
    .order_by(_ATTACHMENTS.c.created_at)
    .limit(_AT_ONCE)
)
