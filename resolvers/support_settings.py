"""Who is told of what: the admins' addresses and the Google Chat webhook."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from db import limits, models
from db.statement import Statement
from db.visibility import table
from resolvers import records
from resolvers.call import Call, Input, Outcome, Refused, UserError, UserErrorCode
from resolvers.checks import Checks

_TABLE = table(models.SupportSettings)
_LOCK = Statement(select(_TABLE.c.google_chat_webhook_url, _TABLE.c.google_chat_enabled).with_for_update())


async def update(call: Call, input: Input) -> Outcome:
    """Change what is given; the webhook is cleared by null. The chat can be on only with a webhook."""
    checks = Checks()
    values: dict[str, Any] = {}
    if "adminRecipients" in input:
        values["admin_recipients"] = _recipients(input["adminRecipients"] or [], checks)
    if "googleChatWebhookUrl" in input:
        values["google_chat_webhook_url"] = checks.webhook(input["googleChatWebhookUrl"], "googleChatWebhookUrl")
    if input.get("googleChatEnabled") is not None:
        values["google_chat_enabled"] = input["googleChatEnabled"]
    elif "googleChatEnabled" in input:
        checks.object_to(UserErrorCode.REQUIRED, "Google Chat is on or off.", "googleChatEnabled")
    checks.finish()
    async with call.transaction() as transaction:
        present = dict(await _LOCK.fetchrow(transaction)) | values
        if present["google_chat_enabled"] and present["google_chat_webhook_url"] is None:
            message = "Google Chat needs a webhook URL to be on."
            raise Refused(UserError(UserErrorCode.REQUIRED, message, ("googleChatWebhookUrl",)))
        await records.update_statement(_TABLE, values).fetchval(transaction, id=1, **values)
    return Outcome()


def _recipients(given: list[str], checks: Checks) -> list[str]:
    if len(given) > limits.RECIPIENTS_MAX:
        message = f"At most {limits.RECIPIENTS_MAX} recipients."
        checks.object_to(UserErrorCode.TOO_LONG, message, "adminRecipients")
        return []
    addresses = [checks.email(address, "adminRecipients", str(place)) for place, address in enumerate(given)]
    return list({address.lower(): address for address in addresses}.values())
