"""API keys of services: shown once, on creation; stored as a hash; limited by a scope and an expiry; revoked
permanently."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy import update as sql_update
from sqlalchemy.dialects.postgresql import UUID

from db import limits, models
from db.enums import AuditAction, ServiceScope
from db.postgres.statement import Statement
from db.sql import table
from resolvers import audit, crud
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, UserErrorCode

_TABLE = table(models.ApiKeyRow)
_PREFIX = "callout_"
_SHOWN = 12  # characters of a key that stay visible, to identify it: the prefix and 24 random bits
_MISSING = MutationError(UserErrorCode.NOT_FOUND, "There is no such API key.", ("apiKeyId",))
_FOUND = select(_TABLE).where(_TABLE.c.id == bindparam("id", type_=UUID(as_uuid=False))).with_for_update(key_share=True)
_KEY = _FOUND.cte("found")
_REVOKED = (
    sql_update(_TABLE).where(_TABLE.c.id == _KEY.c.id, _TABLE.c.revoked_at.is_(None)).values(revoked_at=func.now())
)
_REVOKE = Statement(audit.with_entry(_TABLE, _REVOKED.returning(*_TABLE.c).cte("written"), _KEY))
_LOCK = Statement(_FOUND.with_only_columns(_TABLE.c.revoked_at))


async def create(call: Call, input: Input) -> Outcome:
    """Create a key. Its secret is kept nowhere, so a request that is repeated with its idempotency key returns the key
    without it: then the key is revoked, and another one made."""
    checks = Checks()
    secret = _PREFIX + secrets.token_urlsafe(32)
    values = {"scope": ServiceScope.CHATBOT} | _values(input, checks)
    values |= {"prefix": secret[:_SHOWN], "secret_hash": hashlib.sha256(secret.encode()).digest()}
    values |= {"creator_id": call.viewer.id.strip(), "creator_name": call.viewer.name}
    outcome = await crud.create(call, _TABLE, values, {}, checks)
    return Outcome(outcome.object_id, unkept={"secret": secret})


async def update(call: Call, input: Input) -> Outcome:
    """Change a key that is not revoked. Connections of the key are closed if its scope changes. Raises `Refused` if it
    does not exist, or is revoked."""
    checks = Checks()
    key_id = checks.key(input["apiKeyId"], "key", "API key", "apiKeyId")
    values = _values(input, checks)
    checks.finish()
    async with call.transaction() as transaction:
        present = await _LOCK.fetchrow(transaction, id=key_id)
        if present is None:
            raise Refused(_MISSING)
        if present["revoked_at"] is not None:
            message = "A revoked key stays revoked; create a new one."
            raise Refused(MutationError(UserErrorCode.NOT_ALLOWED, message, ("apiKeyId",)), object_id=key_id)
        await crud.write_change(transaction, call, _TABLE, key_id, values)
    return Outcome(key_id)


async def revoke(call: Call, input: Input) -> Outcome:
    """Revoke a key permanently; it stops working within a second. Raises `Refused` if it does not exist."""
    checks = Checks()
    key_id = checks.key(input["apiKeyId"], "key", "API key", "apiKeyId")
    checks.finish()
    entry = audit.parameters(call, AuditAction.REVOKED)
    if await _REVOKE.fetchval(call.database, id=key_id, **entry) is None:
        raise Refused(_MISSING)
    return Outcome(key_id)


def _values(input: Input, checks: Checks) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in input:
        values["name"] = checks.line(input["name"], limits.NAME_MAX, "name")
    if input.get("scope") is not None:
        values["scope"] = ServiceScope(input["scope"])
    elif "scope" in input:
        checks.object_to(UserErrorCode.REQUIRED, "A key cannot be without a scope.", "scope")
    if "expiresAt" in input:
        values["expires_at"] = expires_at = input["expiresAt"]
        if expires_at is not None and expires_at <= datetime.now(UTC):
            checks.object_to(UserErrorCode.INVALID, "Expires at must be in the future.", "expiresAt")
    return values
