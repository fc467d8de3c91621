"""`tokensRevoke`: the mutation by which admins revoke tokens."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.enums import ADMINS
from db.limits import NAME_MAX
from resolvers import token
from schema.api_key import ApiKey
from schema.common import Payload
from schema.fields import IDEMPOTENCY, items, mutation, optional, outcome_extra


@strawberry.input(description="Whose tokens to revoke. Set exactly one of `subject` and `everyone`.")
class TokensRevokeInput:
    subject: str | None = optional(
        f"The subject (`sub`) of the tokens, such as `tec_…` for a technician; at most {NAME_MAX} characters."
    )
    everyone: bool | None = optional("True for the tokens of everyone, yours included.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The result of revoking tokens.")
class TokensRevokePayload(Payload):
    revoked_at: datetime | None = outcome_extra(
        "revokedAt",
        "The time of the revocation. Tokens issued before it are refused, and so are those issued in the five seconds "
        "after it, because clocks differ. Null if the mutation failed.",
    )
    api_keys: list[ApiKey] = items(
        token.keys_made,
        f"The {token.KEYS_SHOWN} newest API keys that this subject has created and that are not revoked. They go on "
        "working until you revoke them, too.",
        most=token.KEYS_SHOWN,
    )


@strawberry.type
class TokenMutations:
    tokens_revoke: TokensRevokePayload = mutation(
        token.revoke,
        TokensRevokeInput,
        "Revokes all tokens that were issued to a subject, or to everyone, before now. Within a second they are "
        "refused and their live connections closed. API keys are not affected.",
        roles=ADMINS,
    )
