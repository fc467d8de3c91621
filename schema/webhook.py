"""Webhooks: the type, its list, the attempts to deliver its messages, and the mutations."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.entities import WEBHOOK, WEBHOOK_DELIVERIES, WEBHOOK_DELIVERY, WEBHOOKS
from db.enums import (
    ADMINS,
    CHATBOTS,
    ActorKind,
    Role,
    WebhookMessageKind,
    WebhookOutcome,
    WebhookState,
    WebhookSuspension,
)
from db.limits import URL_MAX, WEBHOOK_DOCUMENT_MAX, WEBHOOK_SECRET_BYTES, WEBHOOK_VARIABLES_MAX
from resolvers import webhook as webhooks
from resolvers.webhook import OVERLAP_HOURS, OVERLAP_HOURS_MAX
from schema.common import Connection, Edge, Node, Payload
from schema.fields import (
    IDEMPOTENCY,
    argument,
    column,
    connection,
    given,
    global_id,
    mutation,
    one,
    optional,
    outcome_extra,
    part,
)
from schema.ticket import DateTimeRange

AUTHORS = ADMINS | {Role.SERVICE}


@strawberry.type(
    description="A subscription whose messages are posted to a URL, in order, each until it is acknowledged. It reads "
    "with the rights of its author."
)
class Webhook(Node):
    id: strawberry.ID = global_id(WEBHOOK, "The webhook's id.")
    url: str = column("url", "The URL that messages are posted to.")
    document: str = column("document", "The document with the subscription.")
    variables: str = column("variables", "The variables of the document, a JSON object as text.")
    state: WebhookState = column("state", "Whether messages are sent.")
    suspension: WebhookSuspension | None = column("suspension", "Why the webhook is suspended; null if it is active.")
    suspended_said: str | None = column(
        "suspended_said", "More about why the webhook is suspended, to show to a person; null if it is active."
    )
    suspended_at: datetime | None = column("suspended_at", "Since when it is suspended; null if it is active.")
    author_kind: ActorKind = column("author_role", "Whether an admin or a service is the author.")
    author_name: str = column("author_name", "The name of the admin or service whose rights the webhook has.")
    author_id: strawberry.ID = column("author_id", "The subject of the author's token, or the key of their API key.")
    failures: int = column("failures", "How many attempts in a row have failed; 0 if the latest one was acknowledged.")
    failing_since: datetime | None = column(
        "failing_since", "Since when attempts have failed; null if the latest one was acknowledged."
    )
    next_attempt_at: datetime | None = column(
        webhooks.next_attempt_at, "When the message that has failed is tried again; null if none has failed."
    )
    acknowledged_at: datetime | None = column(
        "acknowledged_at", "When a message was acknowledged last; null if none has been."
    )
    created_at: datetime = column("created_at", "When the webhook was created.")
    updated_at: datetime = column("updated_at", "When its URL, document, variables or secret were changed last.")


@strawberry.type(description="A webhook in a list, with its cursor.")
class WebhookEdge(Edge):
    node: Webhook = part("The webhook.")


@strawberry.type(description="A page of webhooks.")
class WebhookConnection(Connection):
    nodes: list[Webhook] = part("The webhooks on this page.")
    edges: list[WebhookEdge] = part("The webhooks on this page, with their cursors.")


@strawberry.type(description="An attempt to post a message of a webhook. What was posted and answered is not kept.")
class WebhookDelivery(Node):
    id: strawberry.ID = global_id(WEBHOOK_DELIVERY, "The attempt's id.")
    webhook: Webhook | None = one(WEBHOOK, "webhook_id", "The webhook; null if it has been deleted.")
    message_id: str = column(
        "message_id", "The message's `webhook-id`, which is the same on each attempt, also after a replay."
    )
    kind: WebhookMessageKind = column("kind", "The kind of message.")
    outcome: WebhookOutcome = column("outcome", "The attempt's outcome.")
    attempt: int = column("attempt", "The number of the attempt, from 1; after an acknowledgement it begins anew.")
    status: int | None = column("status", "The status of the receiver's answer; null if there was none.")
    said: str = column("said", "What became of the attempt, to show to a person.")
    cursor: str | None = column(
        "cursor",
        "The message's stream cursor: `webhookReplay` after it continues with the next message. Null for a test.",
    )
    at: datetime = column("at", "When the attempt ended.")
    milliseconds: int = column("milliseconds", "How long the attempt took, in milliseconds.")


@strawberry.type(description="An attempt in a list, with its cursor.")
class WebhookDeliveryEdge(Edge):
    node: WebhookDelivery = part("The attempt.")


@strawberry.type(description="A page of attempts to deliver.")
class WebhookDeliveryConnection(Connection):
    nodes: list[WebhookDelivery] = part("The attempts on this page.")
    edges: list[WebhookDeliveryEdge] = part("The attempts on this page, with their cursors.")


@strawberry.input(description="A filter for attempts to deliver. All conditions must hold.")
class WebhookDeliveryFilter:
    webhook_id: strawberry.ID | None = optional("The attempt was one of this webhook.")
    outcome: list[WebhookOutcome] | None = optional("The outcome is one of these.")
    kind: list[WebhookMessageKind] | None = optional("The kind of message is one of these.")
    at: DateTimeRange | None = optional("The attempt ended in this range.")


@strawberry.type
class WebhookQueries:
    webhooks: WebhookConnection = connection(
        WEBHOOK,
        WEBHOOKS,
        "The webhooks that you can see, newest first: for a service its own.",
        roles=AUTHORS,
        scopes=CHATBOTS,
    )
    webhook_deliveries: WebhookDeliveryConnection = connection(
        WEBHOOK_DELIVERY,
        WEBHOOK_DELIVERIES,
        "The attempts to deliver to these webhooks, newest first.",
        arguments=[
            argument("filter", WebhookDeliveryFilter | None, "Only attempts that match this filter; by default, all.")
        ],
        roles=AUTHORS,
        scopes=CHATBOTS,
    )


_DOCUMENT = (
    "A document with one subscription, whose messages have stream cursors, at most "
    f"{WEBHOOK_DOCUMENT_MAX:,} characters."
)
_VARIABLES = f"The variables of the document, a JSON object as text of at most {WEBHOOK_VARIABLES_MAX:,} characters."
_URL = f"The https:// URL that messages are posted to, at most {URL_MAX:,} characters. Admins can read it."
_SECRET = (
    f"The secret that signs messages: `whsec_` and {WEBHOOK_SECRET_BYTES[0]} to {WEBHOOK_SECRET_BYTES[1]} bytes in "
    "base64. By default, a new one."
)


@strawberry.input(description="The webhook to create.")
class WebhookCreateInput:
    url: str = given(_URL)
    document: str = given(f"{_DOCUMENT} The webhook starts now, or after the cursor that is its `after`.")
    variables: str | None = optional(_VARIABLES)
    secret: str | None = optional(_SECRET)
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The changes to a webhook. Fields that are left out keep their values.")
class WebhookUpdateInput:
    webhook_id: strawberry.ID = given("The webhook's id.")
    url: str | None = optional(_URL)
    document: str | None = optional(f"{_DOCUMENT} The webhook continues where it stands, whatever is its `after`.")
    variables: str | None = optional(_VARIABLES)
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The webhook that gets another secret.")
class WebhookRotateSecretInput:
    webhook_id: strawberry.ID = given("The webhook's id.")
    secret: str | None = optional(_SECRET)
    overlap_hours: int | None = optional(
        f"For how many hours the previous secret signs messages too, 0 to {OVERLAP_HOURS_MAX}; {OVERLAP_HOURS} by "
        "default. 0 if it has become known to others."
    )
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The webhook to resume.")
class WebhookResumeInput:
    webhook_id: strawberry.ID = given("The webhook's id.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The webhook to suspend.")
class WebhookSuspendInput:
    webhook_id: strawberry.ID = given("The webhook's id.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="Where a webhook is sent back to.")
class WebhookReplayInput:
    webhook_id: strawberry.ID = given("The webhook's id.")
    after: str = given("The stream cursor after which messages are sent next, from a message, a list or a payload.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The webhook to test.")
class WebhookTestInput:
    webhook_id: strawberry.ID = given("The webhook's id.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The webhook to delete.")
class WebhookDeleteInput:
    webhook_id: strawberry.ID = given("The webhook's id.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


_SHOWN_ONCE = "which is shown only once; null if the mutation failed."


@strawberry.type(description="The result of creating a webhook.")
class WebhookCreatePayload(Payload):
    webhook: Webhook | None = one(WEBHOOK, "object_id", "The new webhook; null if the mutation failed.")
    secret: str | None = outcome_extra("secret", f"The secret that signs messages, {_SHOWN_ONCE}")


@strawberry.type(description="The result of updating a webhook.")
class WebhookUpdatePayload(Payload):
    webhook: Webhook | None = one(WEBHOOK, "object_id", "The webhook; null if the mutation failed.")


@strawberry.type(description="The result of giving a webhook another secret.")
class WebhookRotateSecretPayload(Payload):
    webhook: Webhook | None = one(WEBHOOK, "object_id", "The webhook; null if the mutation failed.")
    secret: str | None = outcome_extra("secret", f"The new secret, {_SHOWN_ONCE}")


@strawberry.type(description="The result of resuming a webhook.")
class WebhookResumePayload(Payload):
    webhook: Webhook | None = one(WEBHOOK, "object_id", "The webhook; null if it does not exist or is not valid.")


@strawberry.type(description="The result of suspending a webhook.")
class WebhookSuspendPayload(Payload):
    webhook: Webhook | None = one(WEBHOOK, "object_id", "The webhook; null if the mutation failed.")


@strawberry.type(description="The result of sending a webhook back.")
class WebhookReplayPayload(Payload):
    webhook: Webhook | None = one(WEBHOOK, "object_id", "The webhook; null if the mutation failed.")


@strawberry.type(description="The result of testing a webhook.")
class WebhookTestPayload(Payload):
    delivery: WebhookDelivery | None = one(
        WEBHOOK_DELIVERY, "object_id", "The attempt, with its outcome; null if none was made."
    )


@strawberry.type(description="The result of deleting a webhook.")
class WebhookDeletePayload(Payload):
    deleted_id: str | None = outcome_extra("deletedId", "The deleted webhook's id; null if the mutation failed.")


@strawberry.type
class WebhookMutations:
    webhook_create: WebhookCreatePayload = mutation(
        webhooks.create,
        WebhookCreateInput,
        "Creates a webhook, with your rights. A revoked or expired API key suspends it, and so does a revocation of "
        "your tokens, or that you show none for long.",
        roles=AUTHORS,
        scopes=CHATBOTS,
    )
    webhook_update: WebhookUpdatePayload = mutation(
        webhooks.update,
        WebhookUpdateInput,
        "Updates a webhook, and tries a message that has failed again at once.",
        roles=AUTHORS,
        scopes=CHATBOTS,
    )
    webhook_rotate_secret: WebhookRotateSecretPayload = mutation(
        webhooks.rotate_secret,
        WebhookRotateSecretInput,
        "Gives a webhook another secret. The previous one signs messages too, for a while.",
        roles=AUTHORS,
        scopes=CHATBOTS,
    )
    webhook_resume: WebhookResumePayload = mutation(
        webhooks.resume,
        WebhookResumeInput,
        "Resumes a suspended webhook where it stopped; an active one makes its next attempt at once.",
        roles=AUTHORS,
        scopes=CHATBOTS,
    )
    webhook_suspend: WebhookSuspendPayload = mutation(
        webhooks.suspend_on_request,
        WebhookSuspendInput,
        "Suspends a webhook, which keeps its position: `webhookResume` continues where it stopped. One that is "
        "suspended already stays as it is.",
        roles=AUTHORS,
        scopes=CHATBOTS,
    )
    webhook_replay: WebhookReplayPayload = mutation(
        webhooks.replay,
        WebhookReplayInput,
        "Sends a webhook back: it posts the messages after a stream cursor again, each with the `webhook-id` that it "
        "had.",
        roles=AUTHORS,
        scopes=CHATBOTS,
    )
    webhook_test: WebhookTestPayload = mutation(
        webhooks.test,
        WebhookTestInput,
        "Posts a test message at once, with the type `webhook.test`, and returns what became of it.",
        roles=AUTHORS,
        scopes=CHATBOTS,
    )
    webhook_delete: WebhookDeletePayload = mutation(
        webhooks.delete, WebhookDeleteInput, "Deletes a webhook.", roles=AUTHORS, scopes=CHATBOTS
    )
