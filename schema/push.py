"""Notices on devices by Web Push: the mutations with which a device subscribes, and the key that it subscribes for."""

from __future__ import annotations

import strawberry

from db.compiler.fields import PushPublicKey
from db.enums import PEOPLE
from db.limits import DEVICE_ID_MAX, PUSH_DEVICES_MAX, URL_MAX
from resolvers import push
from schema.common import Payload
from schema.fields import IDEMPOTENCY, given, mapped, mutation, optional, outcome_extra

DEVICE_ID = (
    f"What you call the device: one line, at most {DEVICE_ID_MAX} characters, which it keeps, such as a UUID. It is no "
    "secret."
)


@strawberry.type
class PushQueries:
    push_public_key: str | None = mapped(
        PushPublicKey(roles=PEOPLE),
        "The key that a browser subscribes for (`applicationServerKey`), in URL-safe base64; null if this server sends "
        "no notices to devices. When it changes, each device must subscribe again.",
    )


@strawberry.input(description="The subscription that a browser has made (`PushSubscription`), and the device.")
class PushSubscriptionSetInput:
    device_id: str = given(DEVICE_ID)
    endpoint: str = given(f"The https:// URL of the device at its push service, at most {URL_MAX:,} characters.")
    p256dh: str = given("The device's public key: 65 bytes in URL-safe base64.")
    auth: str = given("The device's authentication secret: 16 bytes in URL-safe base64.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The device that is to be notified no more.")
class PushSubscriptionRemoveInput:
    device_id: str = given("What you call the device.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The result of subscribing a device.")
class PushSubscriptionSetPayload(Payload):
    device_id: str | None = outcome_extra("deviceId", "The device; null if the mutation failed.")


@strawberry.type(description="The result of removing a device's subscription.")
class PushSubscriptionRemovePayload(Payload):
    device_id: str | None = outcome_extra("deviceId", "The device; null if the mutation failed.")


@strawberry.type
class PushMutations:
    push_subscription_set: PushSubscriptionSetPayload = mutation(
        push.set_subscription,
        PushSubscriptionSetInput,
        "Notifies one of your devices from now on of what the settings say, by Web Push. Repeat it at each start: the "
        "same again changes nothing, and a subscription that was not set for long ends. An endpoint is notified for "
        f"the one who has set it last. You can have {PUSH_DEVICES_MAX} devices; one more replaces the one that was set "
        "longest ago.",
        roles=PEOPLE,
    )
    push_subscription_remove: PushSubscriptionRemovePayload = mutation(
        push.remove_subscription,
        PushSubscriptionRemoveInput,
        "Notifies a device of yours no more, as when you sign out there.",
        roles=PEOPLE,
    )
