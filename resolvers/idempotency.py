"""Idempotency keys: a create mutation that is sent twice creates one object and returns it both times.

The transaction that creates the object also inserts the key's row, so a second request with the same key waits for the
first and then finds its object. A key belongs to its caller; reusing it for a different request is a conflict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import LargeBinary, Text, bindparam, select
from sqlalchemy.dialects.postgresql import UUID, insert

from db import limits, models
from db.postgres.statement import Statement
from db.sql import table
from resolvers.checks import Checks
from resolvers.mutation import Call, MutationError, Refused, Transaction, UserErrorCode

_KEYS = table(models.IdempotencyKeyRow)
_CLAIM = Statement(
    insert(_KEYS)
    .values(
        caller=bindparam("caller", type_=Text()),
        key=bindparam("key", type_=Text()),
        request_hash=bindparam("request_hash", type_=LargeBinary()),
        object_id=bindparam("object_id", type_=UUID(as_uuid=False)),
    )
    .on_conflict_do_nothing()
    .returning(_KEYS.c.object_id)
)
_CLAIMED = Statement(
    select(_KEYS.c.request_hash, _KEYS.c.object_id).where(
        _KEYS.c.caller == bindparam("caller"), _KEYS.c.key == bindparam("key")
    )
)


async def claim(
    transaction: Transaction, call: Call, mutation: str, request: Mapping[str, Any], object_id: str
) -> str | None:
    """Claim the request's `idempotencyKey` for `object_id`, which the transaction is about to create.

    Returns the id of the object that an earlier, equal request created, or None if there was none or there is no key.
    Raises `Refused` if the key was already used for a different request.
    """
    key = request.get("idempotencyKey")
    if key is None:
        return None
    checks = Checks()
    key = checks.line(key, limits.IDEMPOTENCY_KEY_MAX, "idempotencyKey")
    checks.finish()
    caller = f"{call.viewer.role}:{call.viewer.id}"
    content = {name: value for name, value in request.items() if name != "idempotencyKey"}
    digest = hashlib.sha256(orjson.dumps([mutation, content], option=orjson.OPT_SORT_KEYS)).digest()
    if await _CLAIM.fetchval(transaction, caller=caller, key=key, request_hash=digest, object_id=object_id):
        return None
    earlier = await _CLAIMED.fetchrow(transaction, caller=caller, key=key)
    if earlier is None:  # pruned between the two statements
        return await claim(transaction, call, mutation, request, object_id)
    if earlier["request_hash"] != digest:
        message = "This idempotency key was already used for a different request; use a new one."
        raise Refused(MutationError(UserErrorCode.IDEMPOTENCY_CONFLICT, message, ("idempotencyKey",)))
    return str(earlier["object_id"])
