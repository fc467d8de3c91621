"""Mail about files that staff have added to a ticket for its customer.

A file follows the note that it belongs to, because it is uploaded and checked after the note was written. So it has a
mail of its own, which waits for the others: those that are READY within `GATHERING_SECONDS` are in one mail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from db.erasure import placeholders
from db.events.log import Part
from db.object_store import Missing, ObjectStore, StoreError
from db.postgres.statement import Statement
from notifiers.notification import NotifiedFile

GATHERING_SECONDS: Final = 30
_LATEST_SECONDS: Final = 5  # a mail that is due sooner may have been claimed before the file is committed

ADDED_FOR_CUSTOMER: Final = """
state = 'READY' AND NOT internal_only AND creator_kind IN ('ADMIN', 'TECHNICIAN')"""
"""The condition for rows of `attachments` that the customer gets by mail."""

GATHERING: Final = f"""gathering.state = 'PENDING' AND gathering.attempts = 0
    AND gathering.due_at > now() + interval '{_LATEST_SECONDS} seconds'"""
"""The condition for the delivery `gathering` that it still waits for further files."""

_ENQUEUE: Final = f"""
INSERT INTO deliveries
    (event_id, ticket_id, kind, channel, audience, recipient, recipient_name, actor_name, created_at, due_at)
SELECT event.id, event.ticket_id, 'NOTE_ADDED', 'EMAIL', 'CUSTOMER', contact_email, contact_name, event.actor_name,
    event.at, now() + interval '{GATHERING_SECONDS} seconds'
FROM event CROSS JOIN tickets CROSS JOIN support_settings AS settings
WHERE 'NOTE_ADDED' = ANY (settings.email_kinds) AND contact_email NOT LIKE '%@{placeholders.DOMAIN}'
    AND NOT EXISTS (
        SELECT FROM deliveries AS gathering
        WHERE gathering.ticket_id = event.ticket_id AND gathering.kind = 'NOTE_ADDED' AND gathering.note_id IS NULL
            AND lower(gathering.recipient) = lower(contact_email) AND {GATHERING}
    )"""

TO_CUSTOMER: Final = Part(Statement.of_text(_ENQUEUE, (), {}), {})
"""The part of the statement that writes an attachment's event which queues the mail to the customer, unless one waits
already."""


async def carried(store: ObjectStore, files: Sequence[NotifiedFile], most: int) -> tuple[NotifiedFile, ...]:
    """The files, with the contents of those that a mail can carry: together at most `most` bytes. The mail does not
    wait for a store that is unavailable: then it names the files, as it does those that are too large."""
    found = []
    for file in files:
        if file.size <= most:
            try:
                file = replace(file, data=await store.get(file.digest))
                most -= file.size
            except (StoreError, Missing):
                pass
        found.append(file)
    return tuple(found)
