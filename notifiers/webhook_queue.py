"""The statements of the workers that carry webhooks.

A worker says that it lives by its row in `webhook_workers`, so an idle webhook costs nothing, and takes the webhooks
that no living worker has. Each taking, and each change by a person, makes the webhook's `claim` grow; a worker records
only under the claim that it knows. So one whose time has run out cannot move the position after another has taken the
webhook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from db.enums import Role, ServiceScope, WebhookMessageKind, WebhookOutcome, WebhookSuspension
from db.ids import new_id
from db.postgres.statement import Queryable
from db.viewer import Viewer
from notifiers.webhook_sender import Endpoint, Posted

NOTICED_SECONDS: Final = 5
"""For how long a token may have been accepted after its revocation, because processes read these now and then."""

ALLOWED: Final = f"""CASE WHEN api_key_id IS NOT NULL THEN EXISTS (
        SELECT FROM api_keys AS key WHERE key.id = api_key_id AND key.revoked_at IS NULL
            AND (key.expires_at IS NULL OR key.expires_at > now()) AND key.scope IS NOT DISTINCT FROM author_scope
    ) ELSE NOT EXISTS (
        SELECT FROM token_revocations AS revocation
        WHERE (revocation.subject IS NULL OR revocation.subject = ANY (author_names))
            AND revocation.revoked_at > authorized_at - interval '{NOTICED_SECONDS} seconds'
    ) END"""
"""SQL for whether the author of a row of `webhooks` still has access: their API key is valid and has the same scope, or
no tokens of theirs have been revoked since they showed one."""

WARNED: Final = timedelta(days=7)
"""How long before their webhooks are suspended authors are warned who have shown no token for long; or a quarter of the
time for which they may be away, if that is less."""

# As `WebhookSuspension`; null while the author has access.
_LOST: Final = f"""CASE WHEN NOT ({ALLOWED}) THEN 'ACCESS_LOST'
    WHEN renewed_at <= now() - {{away}}::interval THEN 'AUTHOR_AWAY' END"""

_ALIVE: Final = """
WITH dead AS (DELETE FROM webhook_workers WHERE alive_until < now() - interval '1 hour' AND id <> $1::uuid)
INSERT INTO webhook_workers (id, alive_until) VALUES ($1::uuid, now() + $2 * interval '1 second')
ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until"""

_GONE: Final = "DELETE FROM webhook_workers WHERE id = $1::uuid"

_FREE: Final = """state = 'ACTIVE' AND NOT EXISTS (
    SELECT FROM webhook_workers AS worker WHERE worker.id = worker_id AND worker.alive_until > now())"""

_DUE: Final = f"""
SELECT coalesce(bool_or({_FREE}), false) AS free, coalesce(bool_or(notice_due_at <= now()), false) AS notices
FROM webhooks"""

_TAKE: Final = f"""
UPDATE webhooks SET worker_id = $1::uuid, claim = claim + 1
WHERE id = ANY (ARRAY(SELECT id FROM webhooks WHERE {_FREE} ORDER BY id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED))
RETURNING *"""

_HELD: Final = "id = $1::uuid AND claim = $2 AND worker_id = $3::uuid AND state = 'ACTIVE'"

_LOOK: Final = f"""
SELECT position, url, secret, previous_secret, previous_until, failures,
    extract(epoch FROM next_attempt_at - now())::double precision AS wait, {_LOST.format(away="$4")} AS lost
FROM webhooks WHERE {_HELD}"""

_NOTE: Final = """INSERT INTO webhook_deliveries
    (id, webhook_id, message_id, kind, outcome, attempt, status, said, cursor, milliseconds)"""

_ACKNOWLEDGED: Final = f"""
WITH moved AS (
    UPDATE webhooks SET position = $4, failures = 0, failing_since = NULL, next_attempt_at = NULL,
        acknowledged_at = now()
    WHERE {_HELD} RETURNING {ALLOWED} AS allowed
), noted AS (
    {_NOTE}
    SELECT $5::uuid, $1::uuid, $6::uuid, $7::webhook_message_kind, 'ACKNOWLEDGED'::webhook_outcome, $8::integer,
        $9::integer, $10::text, $11::text, $12::integer
    WHERE EXISTS (SELECT FROM webhooks WHERE id = $1::uuid)
)
SELECT allowed FROM moved"""

_FAILED: Final = f"""
WITH failed AS (
    UPDATE webhooks SET failures = failures + 1, failing_since = coalesce(failing_since, now()),
        next_attempt_at = now() + $4 * interval '1 second'
    WHERE {_HELD} RETURNING failing_since
), noted AS (
    {_NOTE}
    SELECT $5::uuid, $1::uuid, $6::uuid, $7::webhook_message_kind, 'FAILED'::webhook_outcome, $8::integer, $9::integer,
        $10::text, $11::text, $12::integer
    WHERE EXISTS (SELECT FROM webhooks WHERE id = $1::uuid)
)
SELECT extract(epoch FROM now() - failing_since)::double precision AS seconds FROM failed"""

_TESTED: Final = f"""{_NOTE} VALUES ($1::uuid, $2::uuid, $3::uuid, 'TEST', $4, 1, $5, $6, NULL, $7)"""

_MOVE: Final = f"UPDATE webhooks SET position = $4 WHERE {_HELD} RETURNING true"

_CHECKPOINT: Final = """
UPDATE webhooks SET position = reached.position
FROM unnest($2::uuid[], $3::bigint[], $4::text[]) AS reached (id, claim, position)
WHERE webhooks.id = reached.id AND webhooks.claim = reached.claim AND worker_id = $1::uuid AND state = 'ACTIVE'"""

_CARRIED: Final = "SELECT id::text, claim FROM webhooks WHERE worker_id = $1::uuid AND state = 'ACTIVE'"

_NOTICES: Final = """
UPDATE webhooks SET notice_due_at = now() + interval '5 minutes'
WHERE id = ANY (ARRAY(SELECT id FROM webhooks WHERE notice_due_at <= now() LIMIT 20 FOR NO KEY UPDATE SKIP LOCKED))
RETURNING id::text, url, suspended_said, suspended_at, author_name, author_email, renewed_at,
    renewed_at + $1::interval AS ends_at"""

_NOTICED: Final = """
UPDATE webhooks SET notice_due_at = NULL WHERE id = $1::uuid AND suspended_at IS NOT DISTINCT FROM $2"""

_WARN: Final = """
UPDATE webhooks SET notice_due_at = now(), warned_at = now()
WHERE state = 'ACTIVE' AND renewed_at <= now() - $1::interval AND (warned_at IS NULL OR warned_at < renewed_at)"""

_WITHOUT_ACCESS: Final = f"""
SELECT id::text, claim, lost FROM (
    SELECT id, claim, {_LOST.format(away="$1")} AS lost FROM webhooks WHERE state = 'ACTIVE'
) AS active WHERE lost IS NOT NULL"""

ADMINS: Final = """
SELECT admin_recipients, CASE WHEN google_chat_enabled THEN google_chat_webhook_url END AS webhook_url
FROM support_settings"""


def author_of(row: Mapping[str, Any]) -> Viewer:
    """The author of a webhook, with whose rights it reads."""
    scope = None if row["author_scope"] is None else ServiceScope(row["author_scope"])
    role = Role(row["author_role"])
    return Viewer(role, row["author_id"], row["author_name"], scope, time_zone=row["author_time_zone"])


def endpoint_of(row: Mapping[str, Any]) -> Endpoint:
    """Where a webhook posts to, with the secrets that sign now."""
    secrets = [row["secret"]]
    if row["previous_until"] is not None and row["previous_until"] > datetime.now(UTC):
        secrets.append(row["previous_secret"])
    return Endpoint(row["url"], secrets)


@dataclass(frozen=True, slots=True)
class HeldWebhook:
    """A webhook as its worker finds it before it sends: its position, its endpoint, the failures in a row, the seconds
    until the next attempt, and why its author has no access any more, or None if they have."""

    position: str
    endpoint: Endpoint
    failures: int
    wait: float
    lost: WebhookSuspension | None


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt to post a message, as it is noted. `attempt` is its number, from 1."""

    message_id: str  # UUID
    kind: WebhookMessageKind
    attempt: int
    cursor: str
    posted: Posted

    def values(self) -> tuple[Any, ...]:
        posted = self.posted
        noted = (self.attempt, posted.status, posted.said, self.cursor, posted.milliseconds)
        return (new_id(), self.message_id, self.kind, *noted)


class WebhookQueue:
    """The queue as one worker sees it. An author may be `away` for so long, without showing a token. Each method raises
    the database's errors."""

    def __init__(self, database: Queryable, worker_id: str, away: timedelta) -> None:
        self._database = database
        self._worker = worker_id
        self._away = away

    async def live(self, seconds: float) -> None:
        """Says that the worker lives, for so many seconds from now."""
        await self._database.execute(_ALIVE, self._worker, seconds)

    async def leave(self) -> None:
        """Frees the worker's webhooks for others."""
        await self._database.execute(_GONE, self._worker)

    async def due(self) -> tuple[bool, bool]:
        """Returns whether there are active webhooks that no living worker has, and whether admins are to be notified
        of any."""
        free, notices = await self._database.fetchrow(_DUE)
        return free, notices

    async def take(self, most: int) -> list[Mapping[str, Any]]:
        """Takes free webhooks. Returns their rows."""
        rows: list[Mapping[str, Any]] = await self._database.fetch(_TAKE, self._worker, most)
        return rows

    async def look(self, webhook_id: str, claim: int) -> HeldWebhook | None:
        """Returns the webhook as it is now; None if the worker no longer has it."""
        row = await self._database.fetchrow(_LOOK, webhook_id, claim, self._worker, self._away)
        if row is None:
            return None
        wait = max(0.0, row["wait"] or 0.0)
        lost = None if row["lost"] is None else WebhookSuspension(row["lost"])
        return HeldWebhook(row["position"], endpoint_of(row), row["failures"], wait, lost)

    async def acknowledged(self, webhook_id: str, claim: int, position: str, attempted: Attempted) -> bool | None:
        """Moves the position behind a message that was acknowledged. Returns whether the author still has access; None
        if the worker no longer has the webhook, whose position then stays."""
        held = (webhook_id, claim, self._worker)
        allowed: bool | None = await self._database.fetchval(_ACKNOWLEDGED, *held, position, *attempted.values())
        return allowed

    async def failed(self, webhook_id: str, claim: int, pause: float, attempted: Attempted) -> float | None:
        """Notes a failure; the next attempt is due after `pause` seconds. Returns for how many seconds the message has
        failed; None if the worker no longer has the webhook."""
        held = (webhook_id, claim, self._worker)
        seconds: float | None = await self._database.fetchval(_FAILED, *held, pause, *attempted.values())
        return seconds

    async def move(self, webhook_id: str, claim: int, position: str) -> bool:
        """Moves the position over events that do not concern the webhook. Returns whether the worker still has it."""
        return bool(await self._database.fetchval(_MOVE, webhook_id, claim, self._worker, position))

    async def checkpoint(self, reached: Sequence[tuple[str, int, str]]) -> None:
        """Stores the positions of idle webhooks, each with its id and claim."""
        await self._database.execute(_CHECKPOINT, self._worker, *map(list, zip(*reached, strict=True)))

    async def carried(self) -> dict[str, int]:
        """Returns the claims of the webhooks that the worker has, by their ids."""
        return {row["id"]: row["claim"] for row in await self._database.fetch(_CARRIED, self._worker)}

    async def without_access(self) -> list[tuple[str, int, WebhookSuspension]]:
        """Returns the ids and claims of active webhooks whose authors have lost access, and how."""
        rows = await self._database.fetch(_WITHOUT_ACCESS, self._away)
        return [(row["id"], row["claim"], WebhookSuspension(row["lost"])) for row in rows]

    async def warn(self) -> None:
        """Makes the warnings due of authors who have shown no token for long: one for each absence."""
        await self._database.execute(_WARN, self._away - min(WARNED, self._away / 4))

    async def notices(self) -> list[Mapping[str, Any]]:
        """Returns webhooks of which people are to be notified, for this worker to do so: those that are suspended, and
        active ones that `ends_at` concerns, unless their author shows a token."""
        rows: list[Mapping[str, Any]] = await self._database.fetch(_NOTICES, self._away)
        return rows

    async def noticed(self, webhook_id: str, suspended_at: datetime | None) -> None:
        await self._database.execute(_NOTICED, webhook_id, suspended_at)


async def tested(database: Queryable, webhook_id: str, message_id: str, posted: Posted) -> str:
    """Notes a test. Returns the id of the delivery."""
    delivery_id = new_id()
    outcome = WebhookOutcome.ACKNOWLEDGED if posted.acknowledged else WebhookOutcome.FAILED
    noted = (outcome, posted.status, posted.said, posted.milliseconds)
    await database.execute(_TESTED, delivery_id, webhook_id, message_id, *noted)
    return delivery_id
