"""Support settings: who is told of what. For admins alone."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.enums import ADMINS, DeliveryChannel, NoticeKind
from db.limits import RECIPIENTS_MAX
from resolvers import support_settings
from schema.common import Payload
from schema.fields import column, given, items, mutation, optional, root


@strawberry.type(description="By which channels a kind of notice is told.")
class NoticeSetting:
    kind: NoticeKind = column("kind", "What is told.")
    email: bool = column("email", "Whether e-mail is sent of it.")
    google_chat: bool = column("googleChat", "Whether Google Chat is told of it, where that is on.")


@strawberry.type(description="Who is told of what.")
class SupportSettings:
    admin_recipients: list[str] = column("admin_recipients", "The addresses that admin mail goes to.")
    google_chat_enabled: bool = column("google_chat_enabled", "Whether Google Chat is told.")
    google_chat_configured: bool = column(
        support_settings.has_webhook,
        "Whether there is a webhook URL. The URL itself is a secret and never shown.",
    )
    notices: list[NoticeSetting] = items(
        support_settings.notice_settings, "What is told by which channel.", most=len(support_settings.TOLD)
    )
    updated_at: datetime = column("updated_at", "When the settings were last changed.")


@strawberry.type
class SupportSettingsQueries:
    support_settings: SupportSettings = root(support_settings.settings, "Who is told of what.", roles=ADMINS)


@strawberry.input(description="By which channels a kind of notice is to be told; what is left out stays.")
class NoticeSettingInput:
    kind: NoticeKind = given("What is told.")
    email: bool | None = optional("Whether e-mail is sent of it.")
    google_chat: bool | None = optional("Whether Google Chat is told of it, where that is on.")


@strawberry.input(description="Changes of the settings: what is left out stays, null clears.")
class SupportSettingsUpdateInput:
    admin_recipients: list[str] | None = optional("The addresses that admin mail goes to, up to 20.")
    google_chat_webhook_url: str | None = optional("The space's incoming webhook, an https:// URL; it is never shown.")
    google_chat_enabled: bool | None = optional("Whether Google Chat is told; needs a webhook URL.")
    notices: list[NoticeSettingInput] | None = optional("Which kinds to switch; those that are left out stay.")


@strawberry.type(description="What `supportSettingsUpdate` answers.")
class SupportSettingsUpdatePayload(Payload):
    support_settings: SupportSettings = root(support_settings.settings, "The settings as they are now.", roles=ADMINS)


@strawberry.input(description="A channel to try.")
class SupportSettingsTestInput:
    channel: DeliveryChannel = given("E-mail goes to the admin recipients; Google Chat is tried even where it is off.")


@strawberry.type(description="What became of a test message.")
class SupportSettingsTestResult:
    recipient: str | None = column("recipient", "The e-mail address; null for Google Chat.")
    sent: bool = column("sent", "Whether the other side took it.")
    said: str = column("said", "What the other side, or the network, said.")


@strawberry.type(description="What `supportSettingsTest` answers.")
class SupportSettingsTestPayload(Payload):
    results: list[SupportSettingsTestResult] = items(
        support_settings.sent_test_results,
        "What became of each message; empty if nothing could be sent.",
        most=RECIPIENTS_MAX,
    )


@strawberry.type
class SupportSettingsMutations:
    support_settings_update: SupportSettingsUpdatePayload = mutation(
        support_settings.update, SupportSettingsUpdateInput, "Change who is told of what.", roles=ADMINS
    )
    support_settings_test: SupportSettingsTestPayload = mutation(
        support_settings.send_test,
        SupportSettingsTestInput,
        "Send a test message by a channel and say what came of it.",
        roles=ADMINS,
    )
