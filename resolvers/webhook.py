"""Webhooks: subscriptions whose messages are posted to a URL, in order, each until it is acknowledged.

A webhook reads with the rights of its author. Admins may change those of everybody: one of an admin then has them as
its author, while one of a service stays the service's. `callout/webhooks/` carries webhooks; whatever is changed here
makes the row's `claim` grow, so that a worker takes the webhook anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from sqlalchemy import case

from db import limits
from db.entities import WEBHOOK
from db.enums import ActorKind, AuditAction, AuditObjectKind, Role, WebhookState, WebhookSuspension
from db.ids import is_uuid, new_id
from db.postgres.pool import Database
from db.sql import Expression, Row
from db.viewer import Viewer
from db.visibility import ViewerParameter
from notifiers import webhook_queue
from notifiers.text import shortened
from notifiers.webhook_queue import ALLOWED, author_of
from notifiers.webhook_sender import new_secret, parse_secret, shown_secret
from resolvers import audit
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, Transaction, UserErrorCode
from resolvers.webhook_office import WebhookOffice

OVERLAP_HOURS: Final = 24
"""How long the previous secret signs messages too, unless the caller says otherwise."""
OVERLAP_HOURS_MAX: Final = 168

_MISSING: Final = MutationError(UserErrorCode.NOT_FOUND, "There is no such webhook.", ("webhookId",))
_AUDITED: Final = ("url", "document", "variables", "state", "suspension", "secret")

_COUNT: Final = """
SELECT count(*) AS number, count(*) FILTER (WHERE author_role = $1 AND author_id = $2) AS of_author FROM webhooks"""

# Those who create webhooks at the same time are counted one after the other.
_TAKE_TURNS: Final = "SELECT pg_advisory_xact_lock(hashtext('callout webhooks'))"

_INSERT: Final = """
INSERT INTO webhooks (id, url, document, variables, secret, position, author_role, api_key_id, author_id, author_name,
    author_names, author_scope, author_time_zone, author_email, renewed_at)
VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, $8::uuid, $9, $10, $11, $12, $13, $14, CASE WHEN $15 THEN now() END)"""

_LOCK: Final = """
SELECT *, claim AS held FROM webhooks
WHERE id = $1::uuid AND ($2::text IS NULL OR author_role = 'SERVICE' AND author_id = $2) FOR NO KEY UPDATE"""

_FIND: Final = _LOCK.replace("FOR NO KEY UPDATE", "")

_ADOPT: Final = """
UPDATE webhooks SET author_id = $2, author_name = $3, author_names = $4, author_scope = $5, author_time_zone = $6,
    author_email = $7, renewed_at = CASE WHEN $8 THEN now() END, authorized_at = now(),
    notice_due_at = CASE state WHEN 'SUSPENDED' THEN notice_due_at END
WHERE id = $1::uuid"""

_CHANGE: Final = """
UPDATE webhooks SET url = $2, document = $3, variables = $4, updated_at = now(), claim = claim + 1, worker_id = NULL,
    failures = 0, failing_since = NULL, next_attempt_at = NULL
WHERE id = $1::uuid"""

_ROTATE: Final = """
UPDATE webhooks SET previous_secret = CASE WHEN $3::integer > 0 THEN secret END, secret = $2, updated_at = now(),
    previous_until = CASE WHEN $3::integer > 0 THEN now() + $3::integer * interval '1 hour' END,
    claim = claim + 1, worker_id = NULL
WHERE id = $1::uuid"""

_RESUME: Final = f"""
UPDATE webhooks SET state = 'ACTIVE', suspension = NULL, suspended_said = NULL, suspended_at = NULL,
    notice_due_at = NULL, claim = claim + 1, worker_id = NULL, failures = 0, failing_since = NULL,
    next_attempt_at = NULL
WHERE id = $1::uuid RETURNING {ALLOWED}"""

_SUSPEND_ON_REQUEST: Final = """
UPDATE webhooks SET state = 'SUSPENDED', suspension = 'ON_REQUEST', suspended_said = $2, suspended_at = now(),
    notice_due_at = NULL, claim = claim + 1, worker_id = NULL, next_attempt_at = NULL
WHERE id = $1::uuid"""

_REPLAY: Final = """
UPDATE webhooks SET position = $2, claim = claim + 1, worker_id = NULL, failures = 0, failing_since = NULL,
    next_attempt_at = NULL
WHERE id = $1::uuid"""

_DELETE: Final = "DELETE FROM webhooks WHERE id = $1::uuid"

_SUSPEND: Final = """
UPDATE webhooks SET state = 'SUSPENDED', suspension = $3, suspended_said = $4, suspended_at = now(),
    notice_due_at = now(), claim = claim + 1, worker_id = NULL, next_attempt_at = NULL
WHERE id = $1::uuid AND claim = $2 AND state = 'ACTIVE' RETURNING true"""


async def create(call: Call, input: Input) -> Outcome:
    """Create a webhook, which starts now, or at the cursor that its document names. Its secret is
    in this answer alone, not in that of a repetition."""
    checks, office = Checks(), _office(call)
    url, document = _url(input["url"], office, checks), _document(input["document"], checks)
    variables, secret = _variables(input.get("variables"), checks), _secret(input.get("secret"), checks)
    checks.finish()
    position = await office.start(document, orjson.loads(variables), call.viewer)
    webhook_id = new_id()
    async with call.transaction() as transaction:
        await transaction.execute(_TAKE_TURNS)
        await _check_number(transaction, call.viewer)
        author = (_kind(call.viewer), call.viewer.id if _by_key(call.viewer) else None, *_author(call.viewer))
        await transaction.execute(_INSERT, webhook_id, url, document, variables, secret, position, *author)
        after = _image(url, document, variables, WebhookState.ACTIVE, None, secret)
        await _record(transaction, call, AuditAction.CREATED, webhook_id, None, after)
    return Outcome(webhook_id, unkept={"secret": shown_secret(secret)})


async def update(call: Call, input: Input) -> Outcome:
    """Change where a webhook posts to, or what. It continues where it stands. Raises `Refused` if it does not exist, or
    if its author may not subscribe so."""
    checks, office = Checks(), _office(call)
    webhook_id = checks.key(input["webhookId"], WEBHOOK.prefix, "webhook", "webhookId")
    given: dict[str, Any] = {}
    if "url" in input:
        given["url"] = _url(input["url"], office, checks)
    if "document" in input:
        given["document"] = _document(input["document"], checks)
    if "variables" in input:
        given["variables"] = _variables(input["variables"], checks)
    checks.finish()
    found = await _found(call, webhook_id)
    if given.keys() & {"document", "variables"}:
        tried = {**found, **given}
        await office.check(tried["document"], orjson.loads(tried["variables"]), author_of(found))
    async with call.transaction() as transaction:
        before = await _locked(transaction, call, webhook_id)
        now = {name: before[name] for name in ("url", "document", "variables")} | given
        await transaction.execute(_CHANGE, webhook_id, *now.values())
        await _adopt(transaction, call, before)
        await _record(transaction, call, AuditAction.UPDATED, webhook_id, _image_of(before), _image_of(before) | given)
    return Outcome(webhook_id)


async def rotate_secret(call: Call, input: Input) -> Outcome:
    """Give a webhook another secret. The previous one signs messages as well for a while."""
    checks = Checks()
    webhook_id = checks.key(input["webhookId"], WEBHOOK.prefix, "webhook", "webhookId")
    secret = _secret(input.get("secret"), checks)
    hours = input.get("overlapHours")
    hours = OVERLAP_HOURS if hours is None else hours
    if not 0 <= hours <= OVERLAP_HOURS_MAX:
        checks.object_to(UserErrorCode.INVALID, f"Overlap hours must be from 0 to {OVERLAP_HOURS_MAX}.", "overlapHours")
    checks.finish()
    async with call.transaction() as transaction:
        before = await _locked(transaction, call, webhook_id)
        await transaction.execute(_ROTATE, webhook_id, secret, hours)
        was = _image_of(before)
        # The image has no secrets, so a mark of the new one's own makes it differ.
        await _record(transaction, call, AuditAction.UPDATED, webhook_id, was, was | {"secret": webhook_id})
    return Outcome(webhook_id, unkept={"secret": shown_secret(secret)})


async def resume(call: Call, input: Input) -> Outcome:
    """Resume a suspended webhook, where it stopped; its document is validated anew. One that is active makes its next
    attempt at once."""
    checks, office = Checks(), _office(call)
    webhook_id = checks.key(input["webhookId"], WEBHOOK.prefix, "webhook", "webhookId")
    checks.finish()
    found = await _found(call, webhook_id)
    await office.check(found["document"], _loaded(found["variables"]), author_of(found))
    async with call.transaction() as transaction:
        before = await _locked(transaction, call, webhook_id)
        adopted = await _adopt(transaction, call, before)
        is_away = before["suspension"] == WebhookSuspension.AUTHOR_AWAY and not adopted
        if not await transaction.fetchval(_RESUME, webhook_id) or is_away:
            message = "The webhook's author no longer has access; only they can resume it, with a valid token."
            raise Refused(MutationError(UserErrorCode.NOT_ALLOWED, message, ("webhookId",)), object_id=webhook_id)
        after = _image_of(before) | {"state": WebhookState.ACTIVE, "suspension": None}
        await _record(transaction, call, AuditAction.UPDATED, webhook_id, _image_of(before), after)
    return Outcome(webhook_id)


async def suspend_on_request(call: Call, input: Input) -> Outcome:
    """Send nothing more until somebody resumes the webhook. One that is suspended already
    stays so, for its own reason."""
    checks = Checks()
    webhook_id = checks.key(input["webhookId"], WEBHOOK.prefix, "webhook", "webhookId")
    checks.finish()
    async with call.transaction() as transaction:
        before = await _locked(transaction, call, webhook_id)
        if before["state"] == WebhookState.ACTIVE:
            said = shortened(f"{call.viewer.name or 'Somebody'} has suspended the webhook.", limits.SAID_MAX)
            await transaction.execute(_SUSPEND_ON_REQUEST, webhook_id, said)
            after = _image_of(before) | {"state": WebhookState.SUSPENDED, "suspension": WebhookSuspension.ON_REQUEST}
            await _record(transaction, call, AuditAction.UPDATED, webhook_id, _image_of(before), after)
    return Outcome(webhook_id)


async def replay(call: Call, input: Input) -> Outcome:
    """Send a webhook back, or ahead, to a stream cursor: the messages after it are sent next."""
    checks, office = Checks(), _office(call)
    webhook_id = checks.key(input["webhookId"], WEBHOOK.prefix, "webhook", "webhookId")
    checks.finish()
    await _found(call, webhook_id)
    position = await office.position(input["after"])
    async with call.transaction() as transaction:
        before = await _locked(transaction, call, webhook_id)
        await transaction.execute(_REPLAY, webhook_id, position)
        image = _image_of(before)
        sent = image | {"replayed_after": input["after"]}
        await _record(transaction, call, AuditAction.REPLAYED, webhook_id, image, sent)
    return Outcome(webhook_id)


async def delete(call: Call, input: Input) -> Outcome:
    """Delete a webhook. Its deliveries stay as long as others do."""
    checks = Checks()
    webhook_id = checks.key(input["webhookId"], WEBHOOK.prefix, "webhook", "webhookId")
    checks.finish()
    async with call.transaction() as transaction:
        before = await _locked(transaction, call, webhook_id)
        await transaction.execute(_DELETE, webhook_id)
        await _record(transaction, call, AuditAction.DELETED, webhook_id, _image_of(before), None)
    return Outcome(extra={"deletedId": f"{WEBHOOK.prefix}_{webhook_id}"})


async def test(call: Call, input: Input) -> Outcome:
    """Post a test message at once, also for a suspended webhook, and note it as a delivery."""
    checks, office = Checks(), _office(call)
    webhook_id = checks.key(input["webhookId"], WEBHOOK.prefix, "webhook", "webhookId")
    checks.finish()
    found = await _found(call, webhook_id)
    body = await office.test_message(found["document"], _loaded(found["variables"]), author_of(found))
    message_id = new_id()
    endpoint = webhook_queue.endpoint_of(found)
    async with office.sender.connected() as client:
        posted = await office.sender.post(client, endpoint, message_id, body)
    return Outcome(await webhook_queue.tested(call.database, str(found["id"]), message_id, posted))


async def suspend(database: Database, webhook_id: str, claim: int, why: WebhookSuspension, said: str) -> bool:
    """Suspend an active webhook that still has this claim, for Callout itself, and have the admins notified. `said` is
    a sentence. Returns whether it was suspended."""
    async with database.transaction() as transaction:
        row = await transaction.fetchrow(_LOCK, webhook_id, None)
        said = shortened(said, limits.SAID_MAX)
        if row is None or not await transaction.fetchval(_SUSPEND, webhook_id, claim, why, said):
            return False
        before = _image_of(dict(row))
        after = before | {"state": WebhookState.SUSPENDED, "suspension": why}
        author = audit.Author(ActorKind.SYSTEM, "webhooks", "Callout", None)
        kind = AuditObjectKind.WEBHOOK
        await audit.record_by(transaction, author, AuditAction.UPDATED, kind, webhook_id, before, after)
    return True


# Values


def _office(call: Call) -> WebhookOffice:
    assert call.webhooks is not None
    return call.webhooks


def _url(given: str | None, office: WebhookOffice, checks: Checks) -> str:
    url = checks.line(given, limits.URL_MAX, "url")
    if not checks.accepts("url"):
        return url
    try:
        parts = urlsplit(url)
        plain = all(0x20 < ord(character) != 0x7F for character in url) and parts.port != 0
        good = plain and parts.scheme in ("https", "http") and bool(parts.hostname) and parts.username is None
    except ValueError:
        good = False
    objection = office.sender.objection(url) if good else "Url must be an https:// URL, without a user."
    if objection is not None:
        checks.object_to(UserErrorCode.INVALID, objection, "url")
    return url


def _document(given: str | None, checks: Checks) -> str:
    return checks.text(given, limits.WEBHOOK_DOCUMENT_MAX, "document")


def _variables(given: str | None, checks: Checks) -> str:
    text = checks.optional_text(given, limits.WEBHOOK_VARIABLES_MAX, "variables") or "{}"
    if checks.accepts("variables"):
        try:
            is_object = isinstance(orjson.loads(text), dict)
        except ValueError:
            is_object = False
        if not is_object:
            checks.object_to(UserErrorCode.INVALID, "Variables must be a JSON object.", "variables")
    return text


def _loaded(variables: str) -> dict[str, Any]:
    loaded: dict[str, Any] = orjson.loads(variables)
    return loaded


def _secret(given: str | None, checks: Checks) -> bytes:
    if given is None:
        return new_secret()
    try:
        return parse_secret(given)
    except ValueError:
        fewest, most = limits.WEBHOOK_SECRET_BYTES
        message = f"Secret must be `whsec_` and {fewest} to {most} bytes in base64."
        checks.object_to(UserErrorCode.INVALID, message, "secret")
        return b""


# Rows


async def _found(call: Call, webhook_id: str | None) -> Any:
    # What follows may wait for the receiver, or for another connection.
    row = await (await call.outside()).fetchrow(_FIND, webhook_id, _own(call))
    if row is None:
        raise Refused(_MISSING)
    return row


async def _locked(transaction: Transaction, call: Call, webhook_id: str | None) -> Any:
    row = await transaction.fetchrow(_LOCK, webhook_id, _own(call))
    if row is None:
        raise Refused(_MISSING)
    return row


def _own(call: Call) -> str | None:
    """The author whose webhooks the caller may change; None for all."""
    return None if call.viewer.role is Role.ADMIN else call.viewer.id


async def _check_number(transaction: Transaction, author: Viewer) -> None:
    counted = await transaction.fetchrow(_COUNT, _kind(author), author.id)
    assert counted is not None
    number, of_author = counted
    if of_author >= limits.WEBHOOKS_OF_AUTHOR_MAX:
        message = f"You can have at most {limits.WEBHOOKS_OF_AUTHOR_MAX} webhooks."
    elif number >= limits.WEBHOOKS_MAX:
        message = f"There can be at most {limits.WEBHOOKS_MAX:,} webhooks."
    else:
        return
    raise Refused(MutationError(UserErrorCode.NOT_ALLOWED, message))


async def _adopt(transaction: Transaction, call: Call, row: Mapping[str, Any]) -> bool:
    """The caller answers for the webhook from now on, if they have its author's rights. Returns whether they do."""
    viewer = call.viewer
    if viewer.role is Role.ADMIN and row["author_role"] != ActorKind.ADMIN:
        return False
    await transaction.execute(_ADOPT, row["id"], *_author(viewer))
    return True


def _author(viewer: Viewer) -> tuple[Any, ...]:
    """The columns of an author, and whether they must go on showing tokens: who has a key or a session loses access
    here."""
    shows_tokens = not _by_key(viewer) and viewer.signed_in is None
    return (viewer.id, viewer.name, _names(viewer), viewer.scope, viewer.time_zone, viewer.email, shows_tokens)


def _names(viewer: Viewer) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in (viewer.id, audit.subject(viewer), *viewer.aliases)))


def _by_key(viewer: Viewer) -> bool:
    return viewer.role is Role.SERVICE and is_uuid(viewer.id)


def _kind(viewer: Viewer) -> ActorKind:
    return ActorKind(viewer.role.value)


def _image_of(row: Mapping[str, Any]) -> dict[str, Any]:
    return _image(*(row[name] for name in _AUDITED))


def _image(url: str, document: str, variables: str, state: Any, suspension: Any, secret: object) -> dict[str, Any]:
    return dict(zip(_AUDITED, (url, document, variables, state, suspension, audit.SECRET), strict=True))


async def _record(
    transaction: Transaction,
    call: Call,
    action: AuditAction,
    webhook_id: str | None,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    await audit.record(transaction, call, action, AuditObjectKind.WEBHOOK, webhook_id, before, after)


# How webhooks are read


def next_attempt_at(row: Row, viewer: ViewerParameter) -> Expression:
    """When the message that has failed is tried again; null if none has failed."""
    return case((row.c.state == WebhookState.ACTIVE, row.c.next_attempt_at))
