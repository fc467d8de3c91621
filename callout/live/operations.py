"""The application as live connections see it: admits viewers, checks whether they still have access, and executes their
operations."""

from __future__ import annotations

import logging
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from graphql import GraphQLError, OperationDefinitionNode, OperationType

from callout.auth.authenticator import Authenticator
from callout.execution.answer import Answer, InvalidVariables, refusal
from callout.execution.budgets import Budgets, Charge
from callout.execution.documents import Document, InvalidDocument
from callout.execution.prepare import Preparer
from callout.execution.request import GraphQLRequest
from callout.execution.run import Engine
from callout.http.context import RequestInfo
from callout.live.feeds import Feeds
from db.errors import ClientError, RateLimited
from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE
from pubsub.connections import Session
from pubsub.feed import Feed
from pubsub.windows import WindowFeed
from resolvers.mutation import Peer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of a query or mutation: the payload of its one `next` message."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """The request was not executed: the payload of an `error` message, a JSON list, and after how many seconds it may
    succeed, if that is known."""

    errors: bytes
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Following:
    """A subscription: its feed, and the stream cursor to continue from, if there is one."""

    feed: Feed | WindowFeed
    after: str | None


Reply: TypeAlias = Answered | Rejected | Following


class LiveApplication:
    """One for each process. `origins` are the origins whose pages may open WebSockets, besides the server's own."""

    def __init__(
        self,
        preparer: Preparer,
        engine: Engine,
        authenticator: Authenticator,
        feeds: Feeds,
        origins: Collection[str],
        budgets: Budgets,
    ) -> None:
        self._preparer = preparer
        self._engine = engine
        self._authenticator = authenticator
        self._feeds = feeds
        self._origins = frozenset(origins)
        self._budgets = budgets

    def allows(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may open a socket here."""
        try:
            return origin in self._origins or urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:
            return False

    async def admit(self, authorization: str | None, client: str | None) -> Session:
        """Returns the session for an `Authorization` header, of a client at this address. Raises `Unauthenticated`, or
        another `HttpError` if the header cannot be checked now."""
        viewer = await self._authenticator.authenticate(authorization)
        assert authorization is not None
        expires_at, by_key = self._authenticator.validity(authorization)
        issued = None if by_key else self._authenticator.issued(authorization, viewer)
        return Session(viewer, expires_at, by_key, client, issued)

    async def gone(self, sessions: Collection[Session]) -> Collection[Session]:
        """Returns the sessions whose tokens are revoked, and those whose viewers no longer have access; of the latter
        none while the database is unavailable."""
        signed_in = [session.viewer.signed_in for session in sessions if session.viewer.signed_in is not None]
        try:
            there = await self._authenticator.still_there([(session.viewer, session.by_key) for session in sessions])
            in_session = await self._authenticator.still_signed_in(signed_in)
        except OUTAGE as error:
            if not is_logged(error):
                logger.warning("cannot re-check who is still allowed to listen: %s", error or type(error).__name__)
            return list(filter(self._is_revoked, sessions))

        def has_access(session: Session) -> bool:
            signed_in = session.viewer.signed_in
            return session.viewer in there if signed_in is None else signed_in.session_id in in_session

        return [session for session in sessions if not has_access(session) or self._is_revoked(session)]

    def _is_revoked(self, session: Session) -> bool:
        return session.issued is not None and self._authenticator.is_revoked(session.issued)

    def charge(self, session: Session) -> Charge:
        """Returns the charge for a request of this session."""
        return self._budgets.of(session.viewer).request()

    async def operation_type(self, session: Session, request: GraphQLRequest, charge: Charge) -> OperationType | None:
        """Returns the type of the request's operation, or None if the request is invalid. Raises `RateLimited`."""
        try:
            _, node = await self._fetched(session, request, charge)
        except RateLimited:
            raise
        except ClientError:
            return None
        return node.operation

    async def reply(
        self, session: Session, request: GraphQLRequest, info: RequestInfo, charge: Charge, socket: Hashable = None
    ) -> Reply:
        """Executes a query or mutation, or prepares the feed of a subscription. Fills in what the access log says of
        the operation. `socket` is the WebSocket that the request came over, if it did."""
        viewer = session.viewer
        try:
            document, node = await self._fetched(session, request, charge)
            info.operation = node.name.value if node.name else None
            info.type, info.document = node.operation.value, document.text
            if node.operation is not OperationType.SUBSCRIPTION:
                info.mutations = self._preparer.mutations(document, node)
                answer = await self._engine.execute(
                    document, node, request.variables, viewer, info.id, Peer(session.client, socket), charge
                )
                if answer.executed:  # an `error` message has no extensions
                    answer = answer.extended(request, charge, info.trace_id)
                return _answered(answer, info)
            bound = await self._preparer.bind_stream_in_steps(document, node, request.variables, viewer, charge)
            feed = self._feeds.feed(bound, viewer, charge.budget)
            feed.quota.check(feed.key)
        except InvalidDocument as error:
            return _answered(refusal(error.errors, info.id, error.extension_code), info)
        except InvalidVariables as error:
            return _answered(refusal(error.errors, info.id, code="BAD_USER_INPUT"), info)
        except (ClientError, GraphQLError) as error:
            return _answered(refusal([error], info.id), info)
        finally:
            info.cost = charge.requested
        return Following(feed, bound.after)

    def refused(self, error: ClientError, info: RequestInfo) -> Reply:
        """Refuses an operation before it is read."""
        return _answered(refusal([error], info.id), info)

    async def _fetched(
        self, session: Session, request: GraphQLRequest, charge: Charge
    ) -> tuple[Document, OperationDefinitionNode]:
        return await self._preparer.fetch(request, session.viewer, charge)


def _answered(answer: Answer, info: RequestInfo) -> Answered | Rejected:
    if answer.codes:
        info.code = answer.codes[0]
    if answer.executed:
        return Answered(answer.body)
    return Rejected(answer.body.removeprefix(b'{"errors":').removesuffix(b"}"), answer.retry_after)
