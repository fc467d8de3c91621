"""Tries the documents and cursors of webhooks for the mutations that change them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from callout.execution.budgets import Charge
from callout.execution.cost import REPLAY
from callout.webhooks.subscriptions import NotASubscription, Subscriptions, WebhookSubscription
from db.enums import StreamResetReason
from db.events.position import NOW
from db.events.stream_cursor import Reset, StreamCursors, StreamPosition, first_after
from db.postgres.pool import Database
from db.viewer import Viewer
from notifiers.webhook_sender import WebhookSender
from resolvers.mutation import MutationError, Refused, UserErrorCode
from resolvers.webhook_office import WebhookOffice

Offices: TypeAlias = Callable[[Charge], WebhookOffice]


class Office(WebhookOffice):
    def __init__(
        self,
        subscriptions: Subscriptions,
        database: Database,
        cursors: StreamCursors,
        sender: WebhookSender,
        charge: Charge,
    ) -> None:
        self.sender = sender
        self._subscriptions = subscriptions
        self._database = database
        self._cursors = cursors
        self._charge = charge

    async def check(self, document: str, variables: Mapping[str, Any], author: Viewer) -> None:
        await self._read(document, variables, author)

    async def start(self, document: str, variables: Mapping[str, Any], author: Viewer) -> str:
        subscription = await self._read(document, variables, author)
        if subscription.after is not None:
            return await self._position(subscription.after, "variables")
        return await self._now()

    async def position(self, cursor: str) -> str:
        self._charge.spend(REPLAY)
        return await self._position(cursor, "after")

    async def test_message(self, document: str, variables: Mapping[str, Any], author: Viewer) -> bytes:
        subscription = await self._read(document, variables, author)
        return await subscription.of_test(self._cursors.seal(await self._now()))

    async def _read(self, document: str, variables: Mapping[str, Any], author: Viewer) -> WebhookSubscription:
        try:
            return await self._subscriptions.read(document, variables, author, self._charge)
        except NotASubscription as error:
            raise Refused(MutationError(error.code, error.message, (error.field,))) from None

    async def _position(self, cursor: str, field: str) -> str:
        position = StreamPosition.opened(cursor, self._cursors)
        reason: StreamResetReason | None = StreamResetReason.CURSOR_UNKNOWN
        if position is not None:
            checked = await first_after(position, self._database, 1)
            reason = checked.reason if isinstance(checked, Reset) else None
        if position is None or reason is not None:
            message = f"No stream can continue after this cursor: {reason}."
            raise Refused(MutationError(UserErrorCode.INVALID, message, (field,)))
        return position.text

    async def _now(self) -> str:
        now: str = await self._database.fetchval(f"SELECT {NOW}")
        return now
