"""Support settings: the admins' addresses, the Google Chat webhook, the kinds that each channel sends, for how long an
answer reopens a closed ticket, and when an assignment is overdue."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, ColumnElement, FromClause, Text, any_, func, literal_column, select

from db import limits, models, tracing
from db.compiler.snippets import Draft
from db.enums import Audience, DeliveryChannel, DeliveryState, NoticeKind
from db.ids import new_id
from db.postgres.statement import Queryable, Statement
from db.sql import Condition, Row, json_rows, table
from db.viewer import Viewer
from db.visibility import ViewerParameter
from notifiers import push_subscriptions
from notifiers.attempt import attempt
from notifiers.notification import Notification
from resolvers import crud
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Refused, UserErrorCode

SWITCHABLE = tuple(kind for kind in NoticeKind if kind not in (NoticeKind.CONFIRM_ADDRESS, NoticeKind.TEST))
"""The kinds of notifications that can be switched on or off."""

KINDS = {"email": "email_kinds", "googleChat": "google_chat_kinds", "push": "push_kinds"}
"""For each channel's field, the column with the kinds that are on."""

_NOWHERE = {
    DeliveryChannel.EMAIL: "Set at least one admin recipient first.",
    DeliveryChannel.GOOGLE_CHAT: "Set a webhook URL for Google Chat first.",
    DeliveryChannel.PUSH: "Subscribe a device of yours first.",
}

TEST_SECONDS = 15.0  # for all test messages, which are sent at once

_TABLE = table(models.SupportSettingsRow)
_LOCK = Statement(
    select(
        *(_TABLE.c[name] for name in ("google_chat_webhook_url", "google_chat_enabled", *KINDS.values()))
    ).with_for_update()
)
_DESTINATIONS = Statement(select(_TABLE.c.admin_recipients, _TABLE.c.google_chat_webhook_url))


async def update(call: Call, input: Input) -> Outcome:
    """Change the given settings; null clears the webhook URL. Google Chat can be enabled only with a webhook URL."""
    checks = Checks()
    values: dict[str, Any] = {}
    if "adminRecipients" in input:
        values["admin_recipients"] = _recipients(input["adminRecipients"] or [], checks)
    if "googleChatWebhookUrl" in input:
        values["google_chat_webhook_url"] = url = checks.webhook(input["googleChatWebhookUrl"], "googleChatWebhookUrl")
        chat = call.channels.get(DeliveryChannel.GOOGLE_CHAT)
        if url and chat and checks.accepts("googleChatWebhookUrl") and (objection := chat.objection(url)):
            checks.object_to(UserErrorCode.INVALID, objection, "googleChatWebhookUrl")
    if input.get("googleChatEnabled") is not None:
        values["google_chat_enabled"] = input["googleChatEnabled"]
    elif "googleChatEnabled" in input:
        checks.object_to(UserErrorCode.REQUIRED, "Google chat enabled must be true or false.", "googleChatEnabled")
    if "reopenDays" in input:
        values["reopen_days"] = _days(input["reopenDays"], checks)
    values |= _overdue_minutes(input.get("overdueMinutes") or {}, checks)
    if "overdueMinutes" in input and input["overdueMinutes"] is None:
        checks.object_to(UserErrorCode.REQUIRED, "Overdue minutes must be an object.", "overdueMinutes")
    if "notices" in input:
        _check_notices(input["notices"], checks)
    checks.finish()
    async with call.transaction() as transaction:
        present = dict(await _LOCK.fetchrow(transaction)) | values
        values |= _kinds(present, input.get("notices") or [])
        if present["google_chat_enabled"] and present["google_chat_webhook_url"] is None:
            message = "Google Chat cannot be enabled without a webhook URL."
            raise Refused(MutationError(UserErrorCode.REQUIRED, message, ("googleChatWebhookUrl",)))
        await crud.write_change(transaction, call, _TABLE, 1, values)
    return Outcome()


def _recipients(given: list[str], checks: Checks) -> list[str]:
    if len(given) > limits.RECIPIENTS_MAX:
        message = f"There can be at most {limits.RECIPIENTS_MAX} admin recipients."
        checks.object_to(UserErrorCode.TOO_LONG, message, "adminRecipients")
        return []
    addresses = [checks.email(address, "adminRecipients", str(index)) for index, address in enumerate(given)]
    return list({address.lower(): address for address in addresses}.values())


def _days(given: int | None, checks: Checks) -> int:
    if given is None or not 0 <= given <= limits.REOPEN_DAYS_MAX:
        message = f"Reopen days must be from 0 to {limits.REOPEN_DAYS_MAX:,}."
        checks.object_to(UserErrorCode.INVALID, message, "reopenDays")
        return 0
    return given


def _overdue_minutes(given: Input, checks: Checks) -> dict[str, int | None]:
    """The columns of the priorities that are given."""
    for name, minutes in given.items():
        if minutes is not None and not 0 <= minutes <= limits.OVERDUE_MINUTES_MAX:
            message = f"Overdue minutes must be from 0 to {limits.OVERDUE_MINUTES_MAX:,}, or null for never."
            checks.object_to(UserErrorCode.INVALID, message, "overdueMinutes", name)
    return {f"overdue_minutes_{name}": minutes for name, minutes in given.items()}


def _check_notices(given: Sequence[Input] | None, checks: Checks) -> None:
    if given is None:
        checks.object_to(UserErrorCode.REQUIRED, "Notices must be a list.", "notices")
        return
    if len(given) > len(SWITCHABLE):
        message = f"There can be at most {len(SWITCHABLE)} notices, one for each kind."
        checks.object_to(UserErrorCode.TOO_LONG, message, "notices")
        return
    seen = set()
    for index, notice in enumerate(given):
        kind, at = notice["kind"], ("notices", str(index))
        if kind not in SWITCHABLE:
            checks.object_to(UserErrorCode.INVALID, f"{kind} notifications cannot be switched on or off.", *at, "kind")
        elif kind in seen:
            checks.object_to(UserErrorCode.INVALID, "Each kind may appear only once.", *at, "kind")
        seen.add(kind)
        for name in KINDS:
            if name in notice and notice[name] is None:
                checks.object_to(UserErrorCode.REQUIRED, "Must be true or false.", *at, name)


def _kinds(present: Mapping[str, Any], notices: Sequence[Input]) -> dict[str, list[NoticeKind]]:
    """The new values of the columns that change. A kind that is not given stays on or off."""
    changed: dict[str, list[NoticeKind]] = {}
    for name, column in KINDS.items():
        given = {notice["kind"]: notice[name] for notice in notices if name in notice}
        if given:
            changed[column] = [kind for kind in SWITCHABLE if given.get(kind, kind in present[column])]
    return changed


async def send_test(call: Call, input: Input) -> Outcome:
    """Send a test message at once, without the queue, and return the result for each recipient: every admin recipient,
    the Google Chat space, even if Google Chat is disabled, or each of the caller's own devices."""
    channel = DeliveryChannel(input["channel"])
    sender = call.channels.get(channel)
    if sender is None:
        message = f"{channel} is not configured on this server."
        raise Refused(MutationError(UserErrorCode.NOT_ALLOWED, message, ("channel",)))
    # Sending may take long, so nothing is held meanwhile.
    notifications = await _tests(await call.outside(), call.viewer, channel)
    if not notifications:
        raise Refused(MutationError(UserErrorCode.REQUIRED, _NOWHERE[channel], ("channel",)))
    with tracing.span(f"deliver {channel}", {"callout.channel": channel.value}):
        made = await asyncio.gather(*(attempt(sender.send(each), TEST_SECONDS) for each in notifications))
    results = [
        {"recipient": notification.recipient or None, "sent": each.state is DeliveryState.SENT, "said": each.said}
        for notification, each in zip(notifications, made, strict=True)
    ]
    return Outcome(extra={"results": results})


async def _tests(database: Queryable, viewer: Viewer, channel: DeliveryChannel) -> list[Notification]:
    """The test messages; none if there is no recipient."""
    test = Notification(
        delivery_id=new_id(),
        kind=NoticeKind.TEST,
        audience=Audience.ADMIN,
        recipient="",
        recipient_name="",
        ticket=None,
        actor_name=viewer.name,
        at=datetime.now(UTC),
    )
    if channel is DeliveryChannel.PUSH:
        devices = await push_subscriptions.targets_of(database, viewer)
        return [replace(test, delivery_id=new_id(), device=device) for device in devices]
    addresses, webhook_url = await _DESTINATIONS.fetchrow(database)
    if channel is DeliveryChannel.EMAIL:
        return [replace(test, delivery_id=new_id(), recipient=address) for address in addresses]
    return [] if webhook_url is None else [replace(test, audience=Audience.SPACE, webhook_url=webhook_url)]


# How the settings are read


def settings(draft: Draft) -> tuple[Row, list[Condition]]:
    """The one row of settings."""
    return draft.own_alias(_TABLE), []


def has_webhook(row: Row, viewer: ViewerParameter) -> Condition:
    """Whether a webhook URL is set."""
    return row.c.google_chat_webhook_url.is_not(None)


def notice_settings(row: Row, viewer: ViewerParameter) -> FromClause:
    """A row for each kind that can be switched: `kind`, and whether it is on for each channel: `email`, `googleChat`
    and
    `push`."""
    switchable: ColumnElement[Any] = literal_column(f"'{{{','.join(SWITCHABLE)}}}'::notice_kind[]")
    kinds = func.unnest(switchable).table_valued("kind", with_ordinality="ord").render_derived()
    on = [(kinds.c.kind == any_(row.c[column])).label(field) for field, column in KINDS.items()]
    rows = select(kinds.c.kind, *on, kinds.c.ord)
    return rows.select_from(kinds).correlate(row).subquery("notices")


def sent_test_results(outcome: Row, viewer: ViewerParameter) -> FromClause:
    """The results in the outcome of `send_test`: `recipient`, `sent` and `said` of each message."""
    return json_rows(outcome.c.extra["results"], recipient=Text, sent=Boolean, said=Text)
