"""The files of inbound mail, which become attachments of the ticket or note that the message becomes.

They are stored before the message's transaction, and attached in it: if either fails, the message was not received, and
the sender's mail server tries again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Boolean, bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from db import models
from db.enums import AttachmentState
from db.object_store import Stored
from db.postgres.statement import Statement
from db.sql import table
from notifiers.inbound.parts import IncomingFile
from notifiers.inbound.reading import IncomingMail
from resolvers import attachment
from resolvers.mutation import Call, Transaction

FILES_MAX: Final = 50
"""Files of one message that are attached."""
DECORATION_MAX: Final = 8_192
"""Bytes of an image within the text that is taken for a part of its layout, such as a logo or an icon. A screenshot is
larger."""

_ATTACHMENTS = table(models.AttachmentRow)
_IS_ATTACHED = Statement(
    select(
        select(_ATTACHMENTS.c.id)
        .where(
            _ATTACHMENTS.c.ticket_id == bindparam("ticket_id", type_=UUID(as_uuid=False)),
            func.coalesce(_ATTACHMENTS.c.uploaded_sha256, _ATTACHMENTS.c.sha256) == bindparam("digest", type_=BYTEA),
            _ATTACHMENTS.c.internal_only == bindparam("internal_only", type_=Boolean()),
            _ATTACHMENTS.c.customer_id.is_not_distinct_from(bindparam("customer_id", type_=UUID(as_uuid=False))),
            _ATTACHMENTS.c.state != literal_column(f"'{AttachmentState.REJECTED}'"),
        )
        .exists()
    )
)


async def store(call: Call, mail: IncomingMail) -> None:
    """Store the files that `attach` will attach. Raises `StoreError`."""
    for file in _kept(mail.files):
        await attachment.put(call, file.data)


async def attach(
    transaction: Transaction,
    call: Call,
    mail: IncomingMail,
    ticket: Mapping[str, Any],
    note_id: str | None = None,
    *,
    internal_only: bool = False,
) -> None:
    """Attach the message's files, which have been stored, to a ticket that the transaction has locked or written, or to
    its note. `ticket` has its `id` and `customer_id`; `call.viewer` is the sender. An image within the text that the
    ticket has already for the same readers, such as the logo in a signature, is not attached again. Raises
    `ObjectGone`."""
    for file in _kept(mail.files):
        stored = Stored(hashlib.sha256(file.data).digest(), len(file.data))
        is_repeated = file.inline and await _IS_ATTACHED.fetchval(
            transaction,
            ticket_id=str(ticket["id"]),
            digest=stored.digest,
            internal_only=internal_only,
            customer_id=ticket["customer_id"],
        )
        if not is_repeated:
            await attachment.keep(
                transaction,
                call,
                ticket,
                note_id,
                file.name,
                file.content_type,
                stored,
                internal_only=internal_only,
            )


def left_out(files: tuple[IncomingFile, ...]) -> str | None:
    """A sentence about the files that are not attached because there are too many; None if there are not."""
    more = len(_worth_attaching(files)) - FILES_MAX
    return f"Of the attached files only the first {FILES_MAX} were kept; there were {more} more." if more > 0 else None


def _kept(files: tuple[IncomingFile, ...]) -> list[IncomingFile]:
    return _worth_attaching(files)[:FILES_MAX]


def _worth_attaching(files: tuple[IncomingFile, ...]) -> list[IncomingFile]:
    return [file for file in files if not (file.inline and _is_image(file) and len(file.data) <= DECORATION_MAX)]


def _is_image(file: IncomingFile) -> bool:
    return file.content_type.lower().startswith("image/")
