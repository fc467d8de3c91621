"""How much inbound mail is processed of senders whom nobody vouches for, all of them together: an address costs
nothing, so limits of each sender bound nothing.

Only customers whom a mail server of ours has verified are not limited. Others who are known, as customers or staff,
have a share of their own, so that they get through while strangers flood us. What is beyond a share is kept aside, and
one ticket a day asks the admins to look at it.
"""

from __future__ import annotations

from typing import Any, Final

from db.enums import ActorKind, Audience, NoteVia, NoticeKind, Role, TicketSource
from db.ids import new_id
from db.viewer import Viewer
from notifiers.inbound.reading import IncomingMail
from notifiers.message_ids import UnvouchedShare
from notifiers.rules import NotificationTarget
from resolvers import note, ticket
from resolvers.mutation import Call, Transaction

SUBJECT: Final = "More mail than is processed was kept aside"
DESCRIPTION: Final = (
    "More messages have come in than are processed of senders whom no mail server vouches for. The others are kept"
    " aside: they are in the list of inbound messages, where an admin accepts or discards each."
)
HOURLY: Final = "More than {:,} such messages, of {}, came within an hour."
DAILY: Final = "More than {:,} such messages, of {}, came within a day."
STRANGERS: Final = "strangers"
KNOWN: Final = "known senders whom no mail server vouches for"

_TARGETS: Final = tuple(NotificationTarget(NoticeKind.CREATED, each) for each in (Audience.ADMIN, Audience.SPACE))

# In the table of guesses, whose counts begin anew after a time. Negative: beyond the limit.
_COUNT: Final = """
INSERT INTO tracking_guesses AS old (subject, remaining, until) VALUES ($1, $2 - 1, now() + $3 * interval '1 hour')
ON CONFLICT (subject) DO UPDATE SET
    remaining = CASE WHEN old.until > now() THEN greatest(old.remaining, 0) - 1 ELSE excluded.remaining END,
    until = CASE WHEN old.until > now() THEN old.until ELSE excluded.until END
RETURNING remaining"""


_IS_STAFF: Final = """
SELECT EXISTS (SELECT FROM technicians WHERE lower(email) = lower($1))
    OR EXISTS (SELECT FROM support_settings, unnest(admin_recipients) AS admin WHERE lower(admin) = lower($1))"""


async def objection(transaction: Transaction, mail: IncomingMail, share: UnvouchedShare, *, known: bool) -> str | None:
    """Why the message is kept aside; None if it is within the share, which it counts against. `known` says that the
    sender is a customer. The messages that count take turns from here on."""
    if known and mail.sender_verified:
        return None
    whose = KNOWN if known or await transaction.fetchval(_IS_STAFF, mail.from_address) else STRANGERS
    if await transaction.fetchval(_COUNT, f"mail of {whose} in a day", share.a_day, 24) < 0:
        return DAILY.format(share.a_day, whose)
    if await transaction.fetchval(_COUNT, f"mail of {whose} in an hour", share.an_hour, 1) < 0:
        return HOURLY.format(share.an_hour, whose)
    return None


async def report(transaction: Transaction, call: Call, gateway: Viewer) -> None:
    """Create the day's ticket about messages that are kept aside, unless there is one."""
    if await transaction.fetchval(_COUNT, "a ticket about mail kept aside", 1, 24) < 0:
        return
    writing = Call(gateway, call.database, {}, call.own_mail, call.files)
    values: dict[str, Any] = {
        "id": new_id(),
        "subject": SUBJECT,
        "description": DESCRIPTION,
        "source": TicketSource.EMAIL,
        "creator_kind": ActorKind(Role.SERVICE.value),
        "creator_id": gateway.id,
        "contact_name": gateway.name,
        "contact_email": min(call.own_mail.addresses),
    }
    # The contact is nobody, so the internal note notifies the admins instead of the ticket.
    await ticket.write(transaction, writing, values, notify=False)
    how: Any = {"internal_only": True, "via": NoteVia.EMAIL}
    await note.write(transaction, writing, values["id"], new_id(), DESCRIPTION, _TARGETS, **how)
