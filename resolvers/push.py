"""Push subscriptions: the devices that are notified by Web Push. Each belongs to the person who has set it.

They end when the device says so, when its push service does (`notifiers/queue.py`), when somebody else sets the same
endpoint, when the person's tokens are revoked, when a technician becomes inactive and a customer is erased; and when
for long the device has not said that it is still there, or a technician or admin who signs in elsewhere has shown no
token (`db/retention.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from db import limits
from db.enums import AuditAction, AuditObjectKind, DeliveryChannel, Role
from db.ids import new_id
from db.postgres.statement import Queryable
from db.viewer import Viewer
from notifiers.vapid import decoded
from resolvers import assignment, audit
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, Transaction, UserErrorCode

_POINT_SIZE, _AUTH_SIZE = 65, 16  # bytes
_KEY_TEXT_MAX: Final = 100  # characters
_TECHNICIAN: Final = "SELECT active FROM technicians WHERE id = $1::uuid FOR KEY SHARE"
_CUSTOMER: Final = "SELECT erased_at IS NULL FROM customers WHERE id = $1::uuid FOR KEY SHARE"
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended('push ' || $1, 0))"
_BEFORE: Final = "SELECT id, endpoint, p256dh, auth FROM push_subscriptions WHERE owner = $1 AND device_id = $2"
_TAKE_OVER: Final = """
DELETE FROM push_subscriptions WHERE endpoint = $3 AND (owner, device_id) IS DISTINCT FROM ($1, $2)"""
_SET: Final = """
INSERT INTO push_subscriptions (id, owner, device_id, endpoint, p256dh, auth, subjects, renewed_at)
VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, CASE WHEN $8 THEN now() END)
ON CONFLICT (owner, device_id) DO UPDATE SET endpoint = excluded.endpoint, p256dh = excluded.p256dh,
    auth = excluded.auth, subjects = excluded.subjects, set_at = now(), renewed_at = excluded.renewed_at
RETURNING id"""
_KEEP_NEWEST: Final = f"""
DELETE FROM push_subscriptions WHERE id IN (
    SELECT id FROM push_subscriptions WHERE owner = $1
    ORDER BY set_at DESC, id DESC OFFSET {limits.PUSH_DEVICES_MAX})"""
_REMOVE: Final = (
    "DELETE FROM push_subscriptions WHERE owner = $1 AND device_id = $2 RETURNING id, endpoint, p256dh, auth"
)
_END_OF_SUBJECT: Final = "DELETE FROM push_subscriptions WHERE $1::text IS NULL OR $1 = ANY (subjects)"
_END_OF_OWNER: Final = "DELETE FROM push_subscriptions WHERE owner = $1"
# The push service may have accepted a notice although its answer was lost: then it need not be sent again.
_ACKNOWLEDGE: Final = """
UPDATE deliveries SET acknowledged_at = now(), state = 'SENT', claimed_until = NULL,
    finished_at = coalesce(finished_at, now()), said = coalesce(said, 'Acknowledged by the device.')
WHERE id = $1::uuid AND channel = 'PUSH' AND acknowledged_at IS NULL AND (state = 'SENT' OR attempts > 0)
RETURNING technician_id, event_id"""


async def set_subscription(call: Call, input: Input) -> Outcome:
    """Notify a device from now on, at this endpoint; the same again keeps the subscription alive. Beyond
    `PUSH_DEVICES_MAX` devices of one person, the one that was set longest ago is forgotten. Raises `Refused`."""
    channel = call.channels.get(DeliveryChannel.PUSH)
    if channel is None:
        raise Refused(MutationError(UserErrorCode.NOT_ALLOWED, "This server sends no notices to devices."))
    checks = Checks()
    device = _device(input["deviceId"], checks)
    endpoint = _endpoint(input["endpoint"], checks)
    if endpoint and checks.accepts("endpoint") and (objection := channel.objection(endpoint)):
        checks.object_to(UserErrorCode.INVALID, objection, "endpoint")
    p256dh = _key(input["p256dh"], _POINT_SIZE, checks, "p256dh")
    auth = _key(input["auth"], _AUTH_SIZE, checks, "auth")
    checks.finish()
    owner = call.viewer.role_and_id
    async with call.transaction() as transaction:
        await _check_person(transaction, call.viewer)
        for each in (owner, endpoint):  # in this order: nobody who has an endpoint's lock waits for an owner's
            await transaction.execute(_ONE_AT_A_TIME, each)
        before = await transaction.fetchrow(_BEFORE, owner, device)
        await transaction.execute(_TAKE_OVER, owner, device, endpoint)
        subjects = [subject.strip() for subject in (audit.subject(call.viewer), *call.viewer.aliases)]
        ends = call.viewer.signed_in is None and call.viewer.role is not Role.CUSTOMER
        written = (new_id(), owner, device, endpoint, p256dh, auth, subjects, ends)
        key = str(await transaction.fetchval(_SET, *written))
        await transaction.execute(_KEEP_NEWEST, owner)
        action = AuditAction.CREATED if before is None else AuditAction.UPDATED
        now = {"endpoint": endpoint, "p256dh": p256dh, "auth": auth}
        await _record(transaction, call, action, key, None if before is None else dict(before), now)
    return Outcome(extra={"deviceId": device})


async def remove_subscription(call: Call, input: Input) -> Outcome:
    """Notify the device no more, as when its owner signs out. Raises `Refused` if it was not notified."""
    checks = Checks()
    device = _device(input["deviceId"], checks)
    checks.finish()
    async with call.transaction() as transaction:
        removed = await transaction.fetchrow(_REMOVE, call.viewer.role_and_id, device)
        if removed is None:
            message = "This device of yours has no subscription."
            raise Refused(MutationError(UserErrorCode.NOT_FOUND, message, ("deviceId",)))
        await _record(transaction, call, AuditAction.REVOKED, str(removed["id"]), dict(removed), None)
    return Outcome(extra={"deviceId": device})


async def end_of_subject(transaction: Queryable, subject: str | None) -> None:
    """End the subscriptions of those whose tokens a revocation covers: of this subject, or of everybody if it is
    None."""
    await transaction.execute(_END_OF_SUBJECT, subject)


async def end_of_technician(transaction: Queryable, technician_id: str) -> None:
    """End the subscriptions of a technician, and of whoever is setting one: they hold the row (`_check_person`)."""
    await transaction.execute("SELECT FROM technicians WHERE id = $1::uuid FOR UPDATE", technician_id)
    await transaction.execute(_END_OF_OWNER, Viewer(Role.TECHNICIAN, technician_id, "").role_and_id)


async def acknowledge(database: Queryable, delivery_id: str) -> None:
    """Note that the device has the notice, and so the technician their assignment. Nothing more is done for one that is
    acknowledged already, or is no more."""
    noted = await database.fetch(_ACKNOWLEDGE, delivery_id)
    received = [(str(technician), str(event)) for technician, event in noted if technician is not None]
    if received:
        await assignment.delivered(database, received)


def _device(given: str, checks: Checks) -> str:
    name = checks.line(given, limits.DEVICE_ID_MAX, "deviceId")
    if not name.isprintable() and checks.accepts("deviceId"):
        checks.object_to(UserErrorCode.INVALID, "Device id must consist of visible characters.", "deviceId")
    return name


def _endpoint(given: str, checks: Checks) -> str:
    url = checks.webhook(given, "endpoint")
    if url is None:
        checks.object_to(UserErrorCode.REQUIRED, "Endpoint is required.", "endpoint")
        return ""
    if not url.isascii() and checks.accepts("endpoint"):
        checks.object_to(UserErrorCode.INVALID, "Endpoint must be an https:// URL.", "endpoint")
    return url


def _key(given: str, size: int, checks: Checks, name: str) -> bytes:
    """The key's bytes. A key of the size of a point must be one of the curve P-256."""
    text = checks.line(given, _KEY_TEXT_MAX, name)
    if not checks.accepts(name):
        return b""
    try:
        key = decoded(text)
        if len(key) != size:
            raise ValueError("another size")
        if size == _POINT_SIZE:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    except ValueError:
        message = f"The key {name} must be as the browser has made it: {size} bytes in URL-safe base64."
        checks.object_to(UserErrorCode.INVALID, message, name)
        return b""
    return key


async def _check_person(transaction: Transaction, viewer: Viewer) -> None:
    """Locks the viewer's row, so that the end of their access comes before or after. Raises `Refused` after it."""
    if viewer.role is Role.TECHNICIAN and not await transaction.fetchval(_TECHNICIAN, viewer.id):
        raise Refused(MutationError(UserErrorCode.INACTIVE, "The technician is inactive."))
    if viewer.role is Role.CUSTOMER and not await transaction.fetchval(_CUSTOMER, viewer.id):
        raise Refused(MutationError(UserErrorCode.NOT_ALLOWED, "The customer has been erased."))


async def _record(
    transaction: Transaction,
    call: Call,
    action: AuditAction,
    key: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """Write the entry of a device of staff: whose it is, and whether its secrets have changed. Customers change nothing
    but their own devices."""
    if call.viewer.role is Role.CUSTOMER:
        return
    was, now = (None if row is None else _image(call.viewer, row) for row in (before, after))
    await audit.record(transaction, call, action, AuditObjectKind.PUSH_SUBSCRIPTION, key, was, now)


def _image(viewer: Viewer, row: Mapping[str, Any]) -> dict[str, Any]:
    technician = viewer.id if viewer.role is Role.TECHNICIAN else None
    keys = {name: row[name].hex() for name in ("p256dh", "auth")}
    return {"technician_id": technician, "endpoint": row["endpoint"], **keys}
