"""API keys of services: shown once, on creation; stored as a hash; revoked permanently."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import UUID

from db import limits, models
from db.enums import AuditAction
from db.postgres.statement import Statement
from db.sql import table
from resolvers import audit, crud
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, UserErrorCode

_TABLE = table(models.ApiKeyRow)
_PREFIX = "callout_"
_SHOWN = 12  # characters of a key that stay visible, to identify it: the prefix and 24 random bits
_FOUND = select(_TABLE).where(_TABLE.c.id == bindparam("id", type_=UUID(as_uuid=False))).with_for_update(key_share=True)
_KEY = _FOUND.cte("found")
_REVOKED = update(_TABLE).where(_TABLE.c.id == _KEY.c.id, _TABLE.c.revoked_at.is_(None)).values(revoked_at=func.now())
_REVOKE = Statement(audit.with_entry(_TABLE, _REVOKED.returning(*_TABLE.c).cte("written"), _KEY))


async def create(call: Call, input: Input) -> Outcome:
    """Create a key. There is no idempotency key: if the response is lost, so is the secret, and a new key is needed."""
    checks = Checks()
    name = checks.line(input["name"], limits.NAME_MAX, "name")
    secret = _PREFIX + secrets.token_urlsafe(32)
    values = {"name": name, "prefix": secret[:_SHOWN], "secret_hash": hashlib.sha256(secret.encode()).digest()}
    outcome = await crud.create(call, "apiKeyCreate", {}, _TABLE, values, {}, checks)
    return Outcome(outcome.object_id, extra={"secret": secret})


async def revoke(call: Call, input: Input) -> Outcome:
    """Revoke a key permanently; it stops working within a second. Raises `Refused` if it does not exist."""
    checks = Checks()
    key_id = checks.key(input["apiKeyId"], "key", "API key", "apiKeyId")
    checks.finish()
    entry = audit.parameters(call, AuditAction.REVOKED)
    if await _REVOKE.fetchval(call.database, id=key_id, **entry) is None:
        raise Refused(MutationError(UserErrorCode.NOT_FOUND, "There is no such API key.", ("apiKeyId",)))
    return Outcome(key_id)
