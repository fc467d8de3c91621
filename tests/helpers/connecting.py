"""Stand-ins around live connections, for tests of the connections alone: a clock that the test sets, an application
that admits everybody and replies as the test says, and a hub that only records subscribers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Hashable
from contextlib import asynccontextmanager
from typing import cast

from graphql import OperationType

from callout.execution.budgets import Charge
from callout.execution.request import GraphQLRequest
from callout.http.access_log import AccessLog
from callout.http.context import RequestInfo
from callout.live.device_streams import StreamReceipts
from callout.live.operations import Answered, Following, LiveApplication, Rejected, Reply
from callout.live.websocket import Sockets
from db.enums import Role
from db.viewer import Viewer
from pubsub.connections import CONNECTIONS_MAX, Connections, LiveConnection, Session, Times
from pubsub.feed import Feed
from pubsub.hub import Hub
from pubsub.presence import Presences
from pubsub.subscriber import Subscriber, SubscriptionHandle
from pubsub.windows import WindowFeed
from resolvers.staff_presence import StaffPresence
from tests.helpers.budgets import free_budget
from tests.helpers.wire import Wire, until

VIEWER = Viewer(Role.ADMIN, "boss", "The Boss")
NO_PRESENCE = cast(StaffPresence, None)  # of feeds that have no messages about presence
TIMES = Times(init=10.0, admission=12.0, ping=20.0, silence=60.0, beat=15.0, watch=1.0)

ANSWER, REFUSAL, FOLLOW = "query", "error", "subscription"
"""Documents, and how `StubApplication` replies to them."""


class Clock:
    """Replaces the module `time`. As there, the two clocks are unrelated."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + 1_000_000.0


class Subscribers(Hub):
    """A hub without events: the test delivers to `subscribers` itself. `ended` has those that have unsubscribed."""

    def __init__(self) -> None:
        self.subscribers: list[Subscriber] = []
        self.ended: list[Subscriber] = []
        self.afters: list[str | None] = []

    def subscribe(self, feed: Feed | WindowFeed, subscriber: Subscriber, after: str | None) -> SubscriptionHandle:
        self.subscribers.append(subscriber)
        self.afters.append(after)
        return _RecordingHandle(self, subscriber)


class _RecordingHandle(SubscriptionHandle):
    def __init__(self, subscribers: Subscribers, subscriber: Subscriber) -> None:
        self._subscribers = subscribers
        self._subscriber = subscriber
        self.cursor = lambda: None

    def end(self) -> None:
        self._subscribers.ended.append(self._subscriber)


class StubApplication(LiveApplication):
    """An application. While `admits` or `replies` is cleared, clients wait; then `failure` is raised if it is set."""

    def __init__(self) -> None:
        self.session = Session(VIEWER, None, False)
        self.admits, self.replies = asyncio.Event(), asyncio.Event()
        self.admits.set()
        self.replies.set()
        self.failure: Exception | None = None
        self.answer = b'{"data":{}}'
        self.after: str | None = None
        self.authorizations: list[str | None] = []
        self.requests: list[GraphQLRequest] = []
        self.given_up: list[str] = []
        self.budget = free_budget()

    def allows(self, origin: str, host: str) -> bool:
        return origin == f"http://{host}"

    async def admit(self, authorization: str | None, client: str | None) -> Session:
        self.authorizations.append(authorization)
        async with self._waiting(self.admits, "admission"):
            return self.session

    def charge(self, session: Session) -> Charge:
        return self.budget.request()

    async def operation_type(self, session: Session, request: GraphQLRequest, charge: Charge) -> OperationType | None:
        return OperationType.QUERY

    async def reply(
        self, session: Session, request: GraphQLRequest, info: RequestInfo, charge: Charge, socket: Hashable = None
    ) -> Reply:
        assert session is self.session
        self.requests.append(request)
        async with self._waiting(self.replies, "reply"):
            match request.query:
                case "query":
                    return Answered(self.answer)
                case "error":
                    return Rejected(b'[{"message":"No."}]')
            return Following(cast(Feed, None), self.after)

    @asynccontextmanager
    async def _waiting(self, event: asyncio.Event, what: str) -> AsyncIterator[None]:
        try:
            await event.wait()
        except asyncio.CancelledError:
            self.given_up.append(what)
            raise
        if self.failure is not None:
            raise self.failure
        yield


class RecordingConnections(Connections):
    """Records all connections in `entered`. The test puts sessions whose viewers have lost access into `gone`;
    `asked` has the sessions of each check."""

    def __init__(self) -> None:
        super().__init__(self._without_access, 0.0)
        self.entered: list[LiveConnection] = []
        self.gone: list[Session] = []
        self.asked: list[list[Session]] = []

    async def _without_access(self, sessions: Collection[Session]) -> Collection[Session]:
        self.asked.append(list(sessions))
        return [session for session in sessions if session in self.gone]

    def enter(self, connection: LiveConnection) -> None:
        self.entered.append(connection)
        super().enter(connection)

    def free_slots(self, viewer: Viewer = VIEWER) -> int:
        """Returns how many more connections this viewer may have."""
        others = [Idle() for _ in range(CONNECTIONS_MAX + 1)]
        for other in others:
            Connections.enter(self, other)
        admitted = [self.admit(other, Session(viewer, None, False)) for other in others]
        for other in others:
            self.leave(other)
        return sum(admitted)


class Idle(LiveConnection):
    """A connection that never ends, and records the calls."""

    def __init__(self) -> None:
        self.checks: list[float] = []
        self.forbidden = 0

    def check(self, now: float) -> None:
        self.checks.append(now)

    def forbid(self) -> None:
        self.forbidden += 1


class RecordingReceipts(StreamReceipts):
    """Records what devices confirm, and writes nothing."""

    def __init__(self, confirmed: list[tuple[str, str, str]]) -> None:
        self._recorded = confirmed

    def confirm(self, owner: str, device_id: str, event: str) -> None:
        self._recorded.append((owner, device_id, event))


class SocketRig:
    """The sockets with all their stand-ins."""

    def __init__(self, clock: Clock, times: Times = TIMES) -> None:
        self.clock = clock
        self.application = StubApplication()
        self.hub = Subscribers()
        self.connections = RecordingConnections()
        self.presences = Presences(30)
        self.confirmed: list[tuple[str, str, str]] = []
        receipts = RecordingReceipts(self.confirmed)
        self.sockets = Sockets(
            self.application, self.hub, self.connections, times, AccessLog(), self.presences, receipts
        )
        self._wires: list[Wire] = []

    async def close(self) -> None:
        for wire in self._wires:
            wire.hang_up()
            await wire.gone()

    def check(self, seconds: float = 0.0) -> None:
        """Advances the clock, then checks all connections."""
        self.clock.now += seconds
        for connection in self.connections.entered:
            connection.check(self.clock.now)

    async def wire(self, **headers: str) -> Wire:
        """Returns a client that has not sent anything yet."""
        wire = await Wire.open(self.sockets, **headers)
        self._wires.append(wire)
        return wire

    async def admitted(self) -> Wire:
        wire = await self.wire()
        wire.send(type="connection_init")
        assert await wire.receive() == {"type": "connection_ack"}
        return wire

    async def following(self, id: str = "1") -> tuple[Wire, Subscriber]:
        """Returns a client with a subscription, and its subscriber in the hub."""
        wire = await self.admitted()
        return wire, await self.subscribe(wire, id)

    async def subscribe(self, wire: Wire, id: str) -> Subscriber:
        before = len(self.hub.subscribers)
        wire.send(type="subscribe", id=id, payload={"query": FOLLOW})
        await until(lambda: len(self.hub.subscribers) > before)
        return self.hub.subscribers[-1]
