"""Deliveries: their computed fields, and the retry of one that has failed for good."""

from __future__ import annotations

from sqlalchemy import Text, and_, bindparam, case, func, literal_column, null, select, update

from db import models
from db.enums import DeliveryState
from db.erasure import placeholders
from db.postgres.statement import Statement
from db.sql import Expression, Row, table
from db.visibility import ViewerParameter
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, UserErrorCode

_TABLE = table(models.DeliveryRow)
_ID = bindparam("id", type_=_TABLE.c.id.type)
_QUEUE = Statement(
    update(_TABLE)
    .where(
        _TABLE.c.id == _ID,
        _TABLE.c.state == DeliveryState.DEAD,
        _TABLE.c.recipient.not_like(literal_column(f"'%@{placeholders.DOMAIN}'")),
    )
    .values(state=DeliveryState.PENDING, attempts=0, queued_at=func.now(), due_at=func.now(), finished_at=null())
    .returning(_TABLE.c.id)
)
_FOUND = Statement(select(_TABLE.c.state, _TABLE.c.recipient).where(_TABLE.c.id == _ID))


async def retry(call: Call, input: Input) -> Outcome:
    """Queue a DEAD delivery again as if it were new; a running worker sends it within a second.

    Raises `Refused` if it does not exist or is not DEAD, or if its recipient has been erased.
    """
    checks = Checks()
    delivery_id = checks.key(input["deliveryId"], "dlv", "delivery", "deliveryId")
    checks.finish()
    if await _QUEUE.fetchval(call.database, id=delivery_id) is None:
        found = await _FOUND.fetchrow(call.database, id=delivery_id)
        if found is None:
            raise Refused(MutationError(UserErrorCode.NOT_FOUND, "There is no such delivery.", ("deliveryId",)))
        message = f"Only a DEAD delivery can be retried; this one is {found['state']}."
        if placeholders.is_email(found["recipient"]):
            message = "The recipient has been erased."
        raise Refused(MutationError(UserErrorCode.NOT_ALLOWED, message, ("deliveryId",)), object_id=delivery_id)
    return Outcome(delivery_id)


def recipient(row: Row, viewer: ViewerParameter) -> Expression:
    """The recipient's address; null for Google Chat, for which the table has an empty text."""
    return func.nullif(row.c.recipient, literal_column("''"), type_=Text())


def next_attempt_at(row: Row, viewer: ViewerParameter) -> Expression:
    """When the delivery is due; null while a worker has claimed it, and once it is SENT or DEAD."""
    return case((and_(row.c.state == DeliveryState.PENDING, row.c.claimed_until.is_(None)), row.c.due_at))
