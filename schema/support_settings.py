"""Support settings: who is notified, of what, through which channels, and what an answer to a closed ticket does. Only
admins see and change them."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.enums import ADMINS, DeliveryChannel, NoticeKind
from db.limits import OVERDUE_MINUTES_MAX, RECIPIENTS_MAX, REOPEN_DAYS_MAX
from resolvers import support_settings
from schema.common import Payload
from schema.fields import IDEMPOTENCY, column, embedded, given, items, mutation, optional, root


@strawberry.type(description="The channels that a kind of notification is sent through.")
class NoticeSetting:
    kind: NoticeKind = column("kind", "The kind of notification.")
    email: bool = column("email", "Whether this kind is sent by e-mail.")
    google_chat: bool = column("googleChat", "Whether this kind is posted to Google Chat while Google Chat is enabled.")
    push: bool = column("push", "Whether this kind is sent to the devices of whoever it is for.")


@strawberry.type(
    description="By the ticket's priority, how many minutes after it was offered an assignment is overdue, if the "
    "technician has not answered it and the ticket is still OPEN; null for never."
)
class OverdueMinutes:
    low: int | None = column("low", "For LOW.")
    medium: int | None = column("medium", "For MEDIUM.")
    high: int | None = column("high", "For HIGH.")
    urgent: int | None = column("urgent", "For URGENT.")


@strawberry.type(description="The settings for notifications.")
class SupportSettings:
    admin_recipients: list[str] = column("admin_recipients", "The e-mail addresses that are notified as admins.")
    google_chat_enabled: bool = column("google_chat_enabled", "Whether notifications are posted to Google Chat.")
    google_chat_configured: bool = column(
        support_settings.has_webhook,
        "Whether a webhook URL is set. The URL itself is a secret and is never returned.",
    )
    notices: list[NoticeSetting] = items(
        support_settings.notice_settings,
        "The channels of each kind of notification.",
        most=len(support_settings.SWITCHABLE),
    )
    reopen_days: int = column(
        "reopen_days",
        "For how many days after it was closed a customer's answer reopens a ticket. A later answer makes a new ticket "
        "that follows it up.",
    )
    overdue_minutes: OverdueMinutes = embedded("overdue_minutes_", "When assignments are overdue.")
    updated_at: datetime = column("updated_at", "When the settings were last changed.")


@strawberry.type
class SupportSettingsQueries:
    support_settings: SupportSettings = root(support_settings.settings, "The settings for notifications.", roles=ADMINS)


@strawberry.input(
    description="The channels to send a kind of notification through. Channels that are left out keep their values."
)
class NoticeSettingInput:
    kind: NoticeKind = given("The kind of notification; any but CONFIRM_ADDRESS and TEST.")
    email: bool | None = optional("Whether to send this kind by e-mail.")
    google_chat: bool | None = optional("Whether to post this kind to Google Chat while Google Chat is enabled.")
    push: bool | None = optional("Whether to send this kind to the devices of whoever it is for.")


@strawberry.input(
    description="By the ticket's priority, after how many minutes an assignment that was not answered is overdue, 0 to "
    f"{OVERDUE_MINUTES_MAX:,}; null for never. Priorities that are left out keep their values."
)
class OverdueMinutesInput:
    low: int | None = optional("For LOW.")
    medium: int | None = optional("For MEDIUM.")
    high: int | None = optional("For HIGH.")
    urgent: int | None = optional("For URGENT.")


@strawberry.input(description="The changes to the settings. Fields that are left out keep their values.")
class SupportSettingsUpdateInput:
    admin_recipients: list[str] | None = optional(
        f"The e-mail addresses to notify as admins, at most {RECIPIENTS_MAX}; replaces the list, and null clears it."
    )
    google_chat_webhook_url: str | None = optional("The https:// URL of the space's incoming webhook; null clears it.")
    google_chat_enabled: bool | None = optional("Whether to post notifications to Google Chat; requires a webhook URL.")
    reopen_days: int | None = optional(
        f"For how many days after it was closed a customer's answer reopens a ticket, 0 to {REOPEN_DAYS_MAX:,}; 0 for "
        "never."
    )
    overdue_minutes: OverdueMinutesInput | None = optional("When assignments are overdue.")
    notices: list[NoticeSettingInput] | None = optional(
        "The kinds of notification to change, each at most once. Others keep their channels."
    )
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The result of updating the settings.")
class SupportSettingsUpdatePayload(Payload):
    support_settings: SupportSettings = root(support_settings.settings, "The settings as they are now.", roles=ADMINS)


@strawberry.input(description="The channel to test.")
class SupportSettingsTestInput:
    channel: DeliveryChannel = given(
        "The channel. EMAIL sends a message to every admin recipient; GOOGLE_CHAT posts one even if it is disabled; "
        "PUSH notifies your own devices."
    )
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The outcome of a test message.")
class SupportSettingsTestResult:
    recipient: str | None = column(
        "recipient", "The e-mail address that the message was sent to; null for Google Chat and devices."
    )
    sent: bool = column("sent", "Whether the mail server, Google Chat or the push service accepted the message.")
    said: str = column("said", "The remote server's reply, or the network error.")


@strawberry.type(description="The result of testing a channel.")
class SupportSettingsTestPayload(Payload):
    results: list[SupportSettingsTestResult] = items(
        support_settings.sent_test_results,
        "The outcome of each test message; empty if the mutation failed.",
        most=RECIPIENTS_MAX,
    )


@strawberry.type
class SupportSettingsMutations:
    support_settings_update: SupportSettingsUpdatePayload = mutation(
        support_settings.update, SupportSettingsUpdateInput, "Updates the settings for notifications.", roles=ADMINS
    )
    support_settings_test: SupportSettingsTestPayload = mutation(
        support_settings.send_test,
        SupportSettingsTestInput,
        "Sends a test message through a channel at once and returns the outcome.",
        roles=ADMINS,
    )
