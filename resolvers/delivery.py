"""Deliveries: one that was given up is tried again."""

from __future__ import annotations

from sqlalchemy import bindparam, func, null, select, update

from db import models
from db.enums import DeliveryState
from db.postgres.statement import Statement
from db.sql import table
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, Outcome, Refused, UserError, UserErrorCode

_TABLE = table(models.Delivery)
_ID = bindparam("id", type_=_TABLE.c.id.type)
_QUEUE = Statement(
    update(_TABLE)
    .where(_TABLE.c.id == _ID, _TABLE.c.state == DeliveryState.DEAD)
    .values(state=DeliveryState.PENDING, attempts=0, queued_at=func.now(), due_at=func.now(), finished_at=null())
    .returning(_TABLE.c.id)
)
_STATE = Statement(select(_TABLE.c.state).where(_TABLE.c.id == _ID))


async def retry(call: Call, input: Input) -> Outcome:
    """Queue a DEAD delivery as if it were new; it is sent within a second, where somebody sends."""
    checks = Checks()
    delivery_id = checks.key(input["deliveryId"], "dlv", "delivery", "deliveryId")
    checks.finish()
    if await _QUEUE.fetchval(call.database, id=delivery_id) is None:
        state = await _STATE.fetchval(call.database, id=delivery_id)
        if state is None:
            raise Refused(UserError(UserErrorCode.NOT_FOUND, "There is no such delivery.", ("deliveryId",)))
        message = f"Only what was given up is tried again; this is {state}."
        raise Refused(UserError(UserErrorCode.NOT_ALLOWED, message, ("deliveryId",)), object_id=delivery_id)
    return Outcome(delivery_id)
