"""The devices that are notified by Web Push, as rows: whose they are, what a claimed delivery needs of them, and their
end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from db.postgres.statement import Queryable
from db.viewer import Viewer
from notifiers.notification import PushTarget
from notifiers.push_rules import Earlier

RECEIVED: Final = "The device has received the event by its own stream."

REVOKED_BEFORE: Final = 5
"""Seconds. A token works for up to two after its revocation, in which a subscription can still be set with it."""

# Both are about the delivery `claimed`, a PUSH one.
DEVICE: Final = f"""(
    SELECT json_build_array(device.endpoint, encode(device.p256dh, 'hex'), encode(device.auth, 'hex'))
    FROM push_subscriptions AS device
    WHERE device.id = claimed.recipient::uuid AND NOT EXISTS (
        SELECT FROM token_revocations AS revoked
        WHERE revoked.revoked_at > device.set_at - interval '{REVOKED_BEFORE} seconds'
            AND (revoked.subject IS NULL OR revoked.subject = ANY (device.subjects))))"""
"""The endpoint and the keys of its device; null if the subscription has ended."""

EARLIER: Final = f"""(
    SELECT json_build_array(
        count(*) FILTER (WHERE before.kind <> 'CREATED' AND before.ticket_id = claimed.ticket_id),
        count(*) FILTER (WHERE before.kind <> 'CREATED' AND about.customer_id = ticket.customer_id),
        count(*) FILTER (WHERE before.kind = 'CREATED' AND before.created_at > claimed.created_at - $6::interval))
    FROM deliveries AS before JOIN tickets AS about ON about.id = before.ticket_id
    WHERE claimed.kind IN ('CREATED', 'CUSTOMER_ANSWERED', 'REOPENED')
        AND before.kind IN ('CREATED', 'CUSTOMER_ANSWERED', 'REOPENED') AND before.said IS DISTINCT FROM '{RECEIVED}'
        AND lower(before.recipient) = claimed.recipient AND before.channel = 'PUSH'
        AND before.created_at BETWEEN claimed.created_at - greatest(interval '1 hour', $6::interval)
            AND claimed.created_at
        AND (before.created_at, before.id) < (claimed.created_at, claimed.id))"""
"""How many notices that outsiders have caused were queued for its device before: those of `Earlier`. $6: the time of a
summary."""

_OF_OWNER: Final = "SELECT endpoint, p256dh, auth FROM push_subscriptions WHERE owner = $1 ORDER BY id"
# One that is being sent is left to its worker. They are locked in the order of their ids, so that servers whose devices
# have received the same events do not wait for each other in a circle.
_DROP_RECEIVED: Final = """
WITH dropped AS (
    SELECT deliveries.id FROM unnest($1::text[], $2::text[], $3::uuid[]) AS received (owner, device_id, event_id)
    JOIN push_subscriptions AS device USING (owner, device_id)
    JOIN deliveries ON deliveries.event_id = received.event_id AND deliveries.channel = 'PUSH'
        AND lower(deliveries.recipient) = device.id::text
    WHERE deliveries.state = 'PENDING' AND deliveries.claimed_until IS NULL
    ORDER BY deliveries.id FOR UPDATE OF deliveries
)
UPDATE deliveries SET state = 'DROPPED', said = $4, finished_at = now() FROM dropped WHERE deliveries.id = dropped.id"""

_END: Final = """
DELETE FROM push_subscriptions USING unnest($1::uuid[], $2::text[]) AS gone (id, endpoint)
WHERE push_subscriptions.id = gone.id AND push_subscriptions.endpoint = gone.endpoint"""


class ReceivedEvent(NamedTuple):
    """A device, by its owner and what the owner calls it, has an event."""

    owner: str
    device_id: str
    event_id: str


def target_of(listed: bytes | None) -> PushTarget | None:
    if listed is None:
        return None
    endpoint, p256dh, auth = orjson.loads(listed)
    return PushTarget(endpoint, bytes.fromhex(p256dh), bytes.fromhex(auth))


def earlier_of(listed: bytes | None) -> Earlier:
    return Earlier() if listed is None else Earlier(*orjson.loads(listed))


async def targets_of(database: Queryable, viewer: Viewer) -> list[PushTarget]:
    """The devices of a viewer."""
    return [PushTarget(*row) for row in await database.fetch(_OF_OWNER, viewer.role_and_id)]


async def drop_received(database: Queryable, received: Sequence[ReceivedEvent]) -> None:
    """Drop the notices of events that devices have received otherwise."""
    owners, devices, events = zip(*received, strict=True)
    await database.execute(_DROP_RECEIVED, owners, devices, events, RECEIVED)


async def end(database: Queryable, gone: Sequence[tuple[str, str]]) -> None:
    """End subscriptions whose push service knows them no more: pairs of a key and the endpoint. One that its device has
    set anew in the meantime stays."""
    await database.execute(_END, [key for key, _ in gone], [endpoint for _, endpoint in gone])
