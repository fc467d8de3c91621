"""Deletes objects that nothing names any more, and what is left of uploads that are over.

An object is stored before its row is committed, so one without a row may be about to get it: only those that were
stored more than a day ago are deleted. A new file may have the contents of such an old object. So whoever names an
object holds its lock until they commit (`resolvers/attachment.py: hold_object`), and here each is deleted under that
lock, if nothing names it and it was not stored anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Integer, any_, bindparam, exists, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, UUID

from db import models
from db.enums import AttachmentState
from db.ids import is_uuid
from db.object_store import ObjectStore
from db.planner import of_any_length
from db.postgres.pool import Database
from db.postgres.statement import Statement
from db.sql import table
from resolvers.attachment import LOCK, lock_number

KEPT: Final = timedelta(days=1)
"""How long an object without a row is kept: longer than any transaction lasts, and any upload takes to be joined."""

_ATTACHMENTS = table(models.AttachmentRow)


def _unnamed() -> Statement:
    digests = of_any_length(bindparam("digests", type_=ARRAY(BYTEA)))
    each = func.unnest(digests).table_valued("digest").render_derived(name="given")
    in_use = _ATTACHMENTS.c.state.in_(
        [literal_column(f"'{state}'") for state in (AttachmentState.SCANNING, AttachmentState.READY)]
    )
    names = or_(_ATTACHMENTS.c.sha256 == each.c.digest, _ATTACHMENTS.c.thumbnail == each.c.digest)
    named = exists(select(_ATTACHMENTS.c.id).where(in_use, names).correlate_except(_ATTACHMENTS))
    return Statement(select(each.c.digest).where(~named))


_UNNAMED = _unnamed()
_TRY_LOCK = Statement(
    select(func.pg_try_advisory_xact_lock(literal_column(str(LOCK)), bindparam("number", type_=Integer())))
)
_UPLOADING = Statement(
    select(_ATTACHMENTS.c.id).where(
        _ATTACHMENTS.c.id == any_(bindparam("ids", type_=ARRAY(UUID(as_uuid=False)))),
        _ATTACHMENTS.c.state == AttachmentState.UPLOADING,
    )
)


async def sweep(database: Database, store: ObjectStore, first: int, kept: timedelta = KEPT) -> int:
    """Delete the objects whose digests begin with the byte `first`, that nothing names, and that were stored longer ago
    than `kept`. Returns their number. Raises the errors of the database and of the store."""
    deleted = 0
    async for batch in store.digests(first):
        old = [digest for digest, at in batch if _is_old(at, kept)]
        for digest in await _unnamed_of(database, old):
            deleted += await _delete(database, store, digest, kept)
    return deleted


async def sweep_uploads(database: Database, store: ObjectStore) -> int:
    """Delete what is left of uploads that are over, and return their number."""
    kept = [name for name in await store.uploads() if is_uuid(name)]
    uploading = {str(row["id"]) for row in await _UPLOADING.fetch(database, ids=kept)}
    over = [name for name in kept if name not in uploading]
    for name in over:
        await store.drop(name)
    return len(over)


async def _delete(database: Database, store: ObjectStore, digest: bytes, kept: timedelta) -> bool:
    async with database.transaction() as transaction:
        if not await _TRY_LOCK.fetchval(transaction, number=lock_number(digest)):
            return False
        # A statement of its own: it sees what was committed before the lock was taken.
        if not await _UNNAMED.fetch(transaction, digests=[digest]):
            return False
        at = await store.stored_at(digest)
        if at is None or not _is_old(at, kept):
            return False
        await store.delete(digest)
        return True


async def _unnamed_of(database: Database, digests: Sequence[bytes]) -> list[bytes]:
    return [row["digest"] for row in await _UNNAMED.fetch(database, digests=digests)] if digests else []


def _is_old(at: datetime, kept: timedelta) -> bool:
    return at < datetime.now(UTC) - kept
