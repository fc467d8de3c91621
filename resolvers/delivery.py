"""Deliveries: their computed fields, and the retry of one that has failed for good, or that was held or dropped."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, case, func, literal_column, null, or_, select, update

from db import models
from db.enums import DeliveryChannel, DeliveryState
from db.erasure import placeholders
from db.postgres.statement import Statement
from db.sql import Expression, Row, table
from db.visibility import ViewerParameter
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, UserErrorCode

_TABLE = table(models.DeliveryRow)
_ID = bindparam("id", type_=_TABLE.c.id.type)
_RETRIED = (DeliveryState.DEAD, DeliveryState.HELD, DeliveryState.DROPPED)
_ALONE = or_(_TABLE.c.summary_id.is_(None), _TABLE.c.summary_id == _TABLE.c.id)
_QUEUE = Statement(
    update(_TABLE)
    .where(
        _TABLE.c.id == _ID,
        or_(*(_TABLE.c.state == state for state in _RETRIED)),
        _ALONE,
        _TABLE.c.recipient.not_like(literal_column(f"'%@{placeholders.DOMAIN}'")),
    )
    .values(
        state=DeliveryState.PENDING,
        attempts=0,
        queued_at=func.now(),
        due_at=func.now(),
        finished_at=null(),
        screened_at=func.now(),
    )
    .returning(_TABLE.c.id)
)
_FOUND = Statement(select(_TABLE.c.state, _TABLE.c.summary_id, _TABLE.c.recipient).where(_TABLE.c.id == _ID))


async def retry(call: Call, input: Input) -> Outcome:
    """Queue a delivery again as if it were new; a running worker sends it within a second. One that was held or dropped
    is sent although nobody has confirmed the address, and whatever the limits are: an admin has decided so.

    Raises `Refused` if it does not exist, has been sent or will be, or is part of a summary, or if its recipient has
    been erased.
    """
    checks = Checks()
    delivery_id = checks.key(input["deliveryId"], "dlv", "delivery", "deliveryId")
    checks.finish()
    if await _QUEUE.fetchval(call.database, id=delivery_id) is None:
        found = await _FOUND.fetchrow(call.database, id=delivery_id)
        if found is None:
            raise Refused(MutationError(UserErrorCode.NOT_FOUND, "There is no such delivery.", ("deliveryId",)))
        if placeholders.is_email(found["recipient"]):
            message = "The recipient has been erased."
        elif found["state"] in _RETRIED:
            message = f"This delivery is part of a summary: retry that one, dlv_{found['summary_id']}."
        else:
            message = f"Only a DEAD, HELD or DROPPED delivery can be retried; this one is {found['state']}."
        raise Refused(MutationError(UserErrorCode.NOT_ALLOWED, message, ("deliveryId",)), object_id=delivery_id)
    return Outcome(delivery_id)


def recipient(row: Row, viewer: ViewerParameter) -> Expression:
    """The recipient's address; null for Google Chat and devices, which have none."""
    return case((row.c.channel == DeliveryChannel.EMAIL, row.c.recipient))


def next_attempt_at(row: Row, viewer: ViewerParameter) -> Expression:
    """When the delivery is due; null while a worker has claimed it, and once it is SENT or DEAD."""
    return case((and_(row.c.state == DeliveryState.PENDING, row.c.claimed_until.is_(None)), row.c.due_at))
