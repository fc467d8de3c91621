"""The subscription in a webhook's document, and the bodies of its messages.

A message has the same JSON as on any other stream, in `data`, beside what Standard Webhooks recommends: its `type` and
`timestamp`; and its stream cursor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from graphql import GraphQLError, OperationType

from callout.execution.answer import InvalidVariables
from callout.execution.budgets import Charge
from callout.execution.documents import InvalidDocument
from callout.execution.prepare import Preparer
from callout.execution.run import Sign
from callout.live.feeds import EventFeed
from db.enums import StreamResetReason
from db.errors import ClientError, Forbidden, RateLimited
from db.postgres.pool import Database
from db.ticket_stream import Stream
from db.viewer import Viewer
from pubsub.feed import Message
from resolvers.mutation import UserErrorCode

TEST = "webhook.test"
ERRORS_SHOWN = 3


class NotASubscription(Exception):
    """The document cannot be a webhook's. `field` is what is wrong, `document` or `variables`; the message is a
    sentence, and quotes no value."""

    def __init__(self, message: str, field: str = "document", code: UserErrorCode = UserErrorCode.INVALID) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.code = code


@dataclass(frozen=True, slots=True)
class WebhookSubscription:
    """A subscription with its variables and the rights of its author: its root field, its feed, and the cursor that the
    document asks to start after."""

    field: str
    feed: EventFeed
    after: str | None

    def of_event(self, message: Message, cursor: str) -> bytes:
        """The body of a message about an event."""
        payload = self.feed.with_cursor(message.payload, cursor)
        return _body(payload, type=self.field, timestamp=_written(message.at), cursor=cursor)

    def of_reset(self, reason: StreamResetReason, cursor: str) -> bytes:
        """The body of a message that says that events may be missing, and why."""
        payload = self.feed.reset(reason, cursor)
        now = _written(datetime.now(UTC))
        return _body(payload, type=f"{self.field}.reset", timestamp=now, cursor=cursor, reason=reason.value)

    async def of_test(self, cursor: str) -> bytes:
        """The body of a test: a `StreamReady`, which webhooks do not send otherwise."""
        payload = await self.feed.ready(cursor, resumed=True)
        return _body(payload, type=TEST, timestamp=_written(datetime.now(UTC)), cursor=cursor)


def _body(payload: bytes, **head: str) -> bytes:
    return orjson.dumps(head)[:-1] + b"," + payload[1:]


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


class Subscriptions:
    """Reads the documents of webhooks. One for each process."""

    def __init__(self, preparer: Preparer, database: Database, sign: Sign) -> None:
        self._preparer = preparer
        self._database = database
        self._sign = sign

    async def read(
        self, document: str, variables: Mapping[str, Any], author: Viewer, charge: Charge
    ) -> WebhookSubscription:
        """Returns the subscription with its author's rights, at the expense of `charge`. Raises `NotASubscription`, and
        `RateLimited` if it may be one later."""
        try:
            found, node = await self._preparer.fetch_operation(document, None, author.role, charge)
            if node.operation is not OperationType.SUBSCRIPTION:
                raise NotASubscription("Document must be a subscription.")
            bound = await self._preparer.bind_stream_in_steps(found, node, variables, author, charge)
        except RateLimited:
            raise
        except InvalidDocument as error:
            raise NotASubscription(f"Document is not valid: {_joined(error.errors)}") from None
        except InvalidVariables as error:
            names = " ".join(sorted({name for each in error.errors for name in _variables_in(each)}))
            raise NotASubscription(
                f"Variables do not fit the document: {names or 'see its types'}.", "variables"
            ) from None
        except Forbidden as error:
            raise NotASubscription(error.message, code=UserErrorCode.NOT_ALLOWED) from None
        except (ClientError, GraphQLError) as error:
            raise NotASubscription(error.message) from None
        name = bound.selection.name
        if not isinstance(bound.selection.mapping, Stream):
            message = f"{name} has no stream cursors, so a webhook could not continue after a failure."
            raise NotASubscription(message)
        mark = self._preparer.marks.position
        feed = EventFeed(bound, author, charge.budget, self._database, mark, self._sign)
        return WebhookSubscription(name, feed, bound.after)


def _joined(errors: Sequence[GraphQLError]) -> str:
    return " ".join(error.message for error in errors[:ERRORS_SHOWN])


def _variables_in(error: GraphQLError) -> list[str]:
    """The names of the variables that an error is about. Its message may quote their values."""
    return [f"${node.variable.name.value}" for node in error.nodes or () if hasattr(node, "variable")]
