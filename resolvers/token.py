"""Revoking tokens: all that a subject has, or that everybody has.

Tokens are not stored, so a revocation is a row with the time up to which they are revoked; `callout/auth/` reads it.
"""

from __future__ import annotations

from datetime import UTC

from sqlalchemy import FromClause, Text, bindparam, func, insert, select
from sqlalchemy.dialects.postgresql import UUID

from db import limits, models
from db.entities import API_KEY
from db.enums import AuditAction, AuditObjectKind
from db.ids import new_id
from db.lists.criteria import only_one
from db.postgres.statement import Statement
from db.sql import Row, table
from db.visibility import ViewerParameter
from resolvers import audit, push
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, Outcome, UserErrorCode, without_key

KEYS_SHOWN = 100

_TABLE = table(models.TokenRevocationRow)
_REVOKE = Statement(
    insert(_TABLE)
    .values(id=bindparam("id", type_=UUID(as_uuid=False)), subject=bindparam("subject", type_=Text()))
    .returning(_TABLE.c.revoked_at)
)


async def revoke(call: Call, input: Input) -> Outcome:
    """Revoke the tokens that a subject, or everybody, has been issued until now. A subject need not exist: that of an
    admin is known to the issuer alone."""
    checks = Checks()
    field, given = only_one(without_key(input))
    subject = None
    if field == "subject":
        subject = checks.text(given, limits.NAME_MAX, "subject")  # as trimmed as the authenticator's
    elif not given:
        checks.object_to(UserErrorCode.INVALID, "Everyone must be true; name one subject otherwise.", "everyone")
    checks.finish()
    async with call.transaction() as transaction:
        revoked_at = await _REVOKE.fetchval(transaction, id=new_id(), subject=subject)
        await push.end_of_subject(transaction, subject)
        revocation = {"revoked_at": revoked_at, "everyone": subject is None}
        await audit.record(transaction, call, AuditAction.REVOKED, AuditObjectKind.TOKEN, subject, None, revocation)
    shown = revoked_at.astimezone(UTC).isoformat(timespec="microseconds")
    return Outcome(extra={"revokedAt": shown, "subject": subject})


def keys_made(outcome: Row, viewer: ViewerParameter) -> FromClause:
    """The API keys that the subject in the outcome of `revoke` has made and that are not revoked, newest first."""
    key = API_KEY.table.alias()
    newest = key.c.created_at.desc()
    made = select(key, func.row_number().over(order_by=newest).label("ord")).where(
        key.c.creator_id == outcome.c.extra["subject"].as_string(),
        key.c.revoked_at.is_(None),
        API_KEY.visible(key, viewer),
    )
    return made.order_by(newest).limit(KEYS_SHOWN).correlate(outcome).subquery("keys_made")
