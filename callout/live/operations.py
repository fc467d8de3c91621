"""The application as live connections see it: admits viewers, checks whether they still have access, and executes their
operations."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from graphql import GraphQLError, OperationType

from callout.auth.authenticator import Authenticator
from callout.execution.answer import Answer, InvalidVariables, refusal
from callout.execution.documents import InvalidDocument
from callout.execution.prepare import Preparer
from callout.execution.request import GraphQLRequest
from callout.execution.run import Engine
from callout.live.feeds import feed_of
from db.errors import ClientError
from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE, Database
from pubsub.connections import Session
from pubsub.feed import Feed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of a query or mutation: the payload of its one `next` message."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """The request was not executed: the payload of an `error` message, a JSON list."""

    errors: bytes


@dataclass(frozen=True, slots=True)
class Following:
    """A subscription: its feed, and the stream cursor to continue from, if there is one."""

    feed: Feed
    after: str | None


Reply: TypeAlias = Answered | Rejected | Following


class LiveApplication:
    """One for each process. `origins` are the origins whose pages may open WebSockets, besides the server's own."""

    def __init__(
        self,
        preparer: Preparer,
        engine: Engine,
        authenticator: Authenticator,
        database: Database,
        origins: Collection[str],
    ) -> None:
        self._preparer = preparer
        self._engine = engine
        self._authenticator = authenticator
        self._database = database
        self._origins = frozenset(origins)

    def allows(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may open a socket here."""
        try:
            return origin in self._origins or urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:
            return False

    async def admit(self, authorization: str | None) -> Session:
        """Returns the session for an `Authorization` header. Raises `Unauthenticated`, or another `HttpError` if the
        header cannot be checked now."""
        viewer = await self._authenticator.authenticate(authorization)
        assert authorization is not None
        expires_at, by_key = self._authenticator.validity(authorization)
        return Session(viewer, expires_at, by_key, None if by_key else self._authenticator.issued(authorization))

    async def gone(self, sessions: Collection[Session]) -> Collection[Session]:
        """Returns the sessions whose tokens are revoked, and those whose viewers no longer have access; of the latter
        none while the database is unavailable."""
        try:
            there = await self._authenticator.still_there([(session.viewer, session.by_key) for session in sessions])
        except OUTAGE as error:
            if not is_logged(error):
                logger.warning("cannot re-check who is still allowed to listen: %s", error or type(error).__name__)
            return list(filter(self._is_revoked, sessions))
        return [session for session in sessions if session.viewer not in there or self._is_revoked(session)]

    def _is_revoked(self, session: Session) -> bool:
        return session.issued is not None and self._authenticator.is_revoked(session.issued)

    async def operation_type(self, request: GraphQLRequest) -> OperationType | None:
        """Returns the type of the request's operation, or None if the request is invalid."""
        try:
            _, node = await self._preparer.fetch_operation(request.query, request.operation_name)
        except ClientError:
            return None
        return node.operation

    async def reply(self, session: Session, request: GraphQLRequest) -> Reply:
        """Executes a query or mutation, or prepares the feed of a subscription."""
        request_id = secrets.token_hex(8)
        try:
            document, node = await self._preparer.fetch_operation(request.query, request.operation_name)
            if node.operation is not OperationType.SUBSCRIPTION:
                answer = await self._engine.execute(document, node, request.variables, session.viewer, request_id)
                return Answered(answer.body) if answer.executed else _refused(answer)
            bound = self._preparer.bind_stream(document, node, request.variables, session.viewer)
        except InvalidDocument as error:
            return _refused(refusal(error.errors, request_id, error.extension_code))
        except InvalidVariables as error:
            return _refused(refusal(error.errors, request_id, code="BAD_USER_INPUT"))
        except (ClientError, GraphQLError) as error:
            return _refused(refusal([error], request_id))
        feed = feed_of(bound, session.viewer, self._database, self._preparer.position_mark)
        return Following(feed, bound.after)


def _refused(answer: Answer) -> Rejected:
    return Rejected(answer.body.removeprefix(b'{"errors":').removesuffix(b"}"))
