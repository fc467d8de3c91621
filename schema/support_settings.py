"""Support settings: who is told of what. For admins alone."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db import models
from db.compiler import Render, Selection
from db.mapping import ADMINS, Root
from db.visibility import Condition, Row, table
from resolvers import support_settings
from schema.common import Payload
from schema.fields import column, mapped, mutation, optional, root

_TABLE = table(models.SupportSettings)


def _settings(render: Render, selection: Selection) -> tuple[Row, list[Condition]]:
    return render.alias(_TABLE), []


@strawberry.type(description="Who is told of what.")
class SupportSettings:
    admin_recipients: list[str] = column("admin_recipients", "The addresses that admin mail goes to.")
    google_chat_enabled: bool = column("google_chat_enabled", "Whether Google Chat is told.")
    google_chat_configured: bool = column(
        lambda row, asker: row.c.google_chat_webhook_url.is_not(None),
        "Whether there is a webhook URL. The URL itself is a secret and never shown.",
    )
    updated_at: datetime = column("updated_at", "When the settings were last changed.")


@strawberry.type
class SupportSettingsQueries:
    support_settings: SupportSettings = root(_settings, "Who is told of what.", roles=ADMINS)


@strawberry.input(description="Changes of the settings: what is left out stays, null clears.")
class SupportSettingsUpdateInput:
    admin_recipients: list[str] | None = optional("The addresses that admin mail goes to, up to 20.")
    google_chat_webhook_url: str | None = optional("The space's incoming webhook, an https:// URL; it is never shown.")
    google_chat_enabled: bool | None = optional("Whether Google Chat is told; needs a webhook URL.")


@strawberry.type(description="What `supportSettingsUpdate` answers.")
class SupportSettingsUpdatePayload(Payload):
    support_settings: SupportSettings = mapped(Root(_settings, roles=ADMINS), "The settings as they are now.")


@strawberry.type
class SupportSettingsMutations:
    support_settings_update: SupportSettingsUpdatePayload = mutation(
        support_settings.update, SupportSettingsUpdateInput, "Change who is told of what.", roles=ADMINS
    )
