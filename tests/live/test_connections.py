"""Live connections: counting, checking and admission; and one stream of server-sent events at a time, without a network
or a database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import replace
from typing import Any, cast
from weakref import ref

import orjson
import pytest
from starlette.types import Message

from callout.auth.authenticator import Authenticator
from callout.execution.budgets import Budgets
from callout.execution.prepare import Preparer
from callout.execution.run import Engine
from callout.http.context import SCOPE_KEY, RequestInfo
from callout.http.server import ENDING
from callout.live.event_stream import EventStreams, TooManyConnections
from callout.live.feeds import Feeds
from callout.live.operations import LiveApplication
from callout.live.stream_tickets import StreamTickets
from callout.settings import InvalidSettings, load
from db.enums import Role
from db.postgres.pool import Database
from db.viewer import Viewer
from pubsub.connections import CONNECTIONS_MAX, Session, Times
from pubsub.send_queue import QUEUE_MAX, SEND_SECONDS
from tests.helpers.connecting import (
    ANSWER,
    FOLLOW,
    REFUSAL,
    TIMES,
    VIEWER,
    Clock,
    Idle,
    RecordingConnections,
    StubApplication,
    Subscribers,
)
from tests.helpers.wire import settled, until

BEAT = b":\n\n"
OTHER = Viewer(Role.SERVICE, VIEWER.id, VIEWER.name)


# Counting


def test_each_viewer_is_limited_to_fifty_connections() -> None:
    connections = RecordingConnections()
    assert (connections.free_slots(), connections.free_slots(OTHER)) == (CONNECTIONS_MAX, CONNECTIONS_MAX)
    first, second = Idle(), Idle()
    for connection in (first, second):
        connections.enter(connection)
        assert connections.admit(connection, Session(VIEWER, None, False))
    assert (connections.free_slots(), connections.free_slots(OTHER)) == (CONNECTIONS_MAX - 2, CONNECTIONS_MAX)
    connections.leave(first)
    assert connections.free_slots() == CONNECTIONS_MAX - 1
    connections.leave(second)
    assert connections.free_slots() == CONNECTIONS_MAX


def test_a_viewer_without_connections_is_forgotten() -> None:
    class Guest(Viewer):
        """A viewer that supports weak references."""

    connections = RecordingConnections()
    viewer = Guest(Role.ADMIN, "guest", "A guest")
    connection = Idle()
    connections.enter(connection)
    assert connections.admit(connection, Session(viewer, None, False))
    connections.leave(connection)
    forgotten = ref(viewer)
    connections.entered.clear()
    del viewer, connection
    assert forgotten() is None


def test_a_connection_that_was_never_admitted_frees_no_slot() -> None:
    connections = RecordingConnections()
    admitted, waiting = Idle(), Idle()
    for connection in (admitted, waiting):
        connections.enter(connection)
    assert connections.admit(admitted, Session(VIEWER, None, False))
    connections.leave(waiting)
    assert connections.free_slots() == CONNECTIONS_MAX - 1


def test_a_connection_that_has_left_is_not_admitted() -> None:
    connections = RecordingConnections()
    connection = Idle()
    connections.enter(connection)
    connections.leave(connection)
    assert not connections.admit(connection, Session(VIEWER, None, False))
    assert connection.session is None
    assert connections.free_slots() == CONNECTIONS_MAX


@pytest.mark.parametrize(("expires", "expired"), [(None, False), (-0.1, True), (0.0, False), (0.1, False)])
def test_a_session_expires_with_its_token(clock: Clock, expires: float | None, expired: bool) -> None:
    session = Session(VIEWER, None if expires is None else clock.time() + expires, False)
    assert session.expired is expired


# Checking


@pytest.fixture
async def watched() -> AsyncIterator[RecordingConnections]:
    connections = RecordingConnections()
    watching = asyncio.create_task(connections.watch())
    yield connections
    watching.cancel()


async def test_connections_are_checked_repeatedly_until_they_leave(clock: Clock, watched: RecordingConnections) -> None:
    connections = [Idle(), Idle()]
    for connection in connections:
        watched.enter(connection)
    await until(lambda: all(len(connection.checks) >= 3 for connection in connections))
    assert set(connections[0].checks) == {clock.now}
    watched.leave(connections[0])
    checks = len(connections[0].checks), len(connections[1].checks)
    await until(lambda: len(connections[1].checks) >= checks[1] + 3)
    assert len(connections[0].checks) == checks[0]


async def test_a_connection_may_leave_while_it_is_checked(watched: RecordingConnections) -> None:
    class Leaving(Idle):
        def check(self, now: float) -> None:
            super().check(now)
            watched.leave(self)

    connections = [Leaving() for _ in range(3)]
    for connection in connections:
        watched.enter(connection)
    await until(lambda: all(connection.checks for connection in connections))
    await settled()
    assert [len(connection.checks) for connection in connections] == [1, 1, 1]


async def test_connections_that_have_lost_access_are_forbidden(watched: RecordingConnections) -> None:
    """The check is repeated: connections that lose access later are forbidden later."""
    stays, goes, goes_later, waits = (Idle() for _ in range(4))
    sessions = [Session(VIEWER, None, False) for _ in range(3)]
    for connection in (stays, goes, goes_later, waits):
        watched.enter(connection)
    for connection, session in zip((stays, goes, goes_later), sessions, strict=True):
        assert watched.admit(connection, session)
    watched.gone.append(sessions[1])
    await until(lambda: goes.forbidden)
    watched.leave(goes)
    watched.gone.append(sessions[2])
    await until(lambda: goes_later.forbidden)
    assert (stays.forbidden, waits.forbidden) == (0, 0)
    assert set(sessions) in map(set, watched.asked)
    assert set(watched.asked[-1]) == {sessions[0], sessions[2]}


# Admission


class StubAuthenticator(Authenticator):
    """Admits every client as one viewer, or raises `failure`. The viewers in `there` still have access."""

    def __init__(self, failure: Exception | None = None, there: Collection[Viewer] = ()) -> None:
        self._failure = failure
        self._there = set(there)

    async def authenticate(self, authorization: str | None) -> Viewer:
        if self._failure is not None:
            raise self._failure
        return VIEWER

    def validity(self, authorization: str) -> tuple[float | None, bool]:
        assert authorization == "Bearer x"
        return 5.0, True

    async def still_there(self, viewers: Collection[tuple[Viewer, bool]]) -> set[Viewer]:
        if self._failure is not None:
            raise self._failure
        assert list(viewers) == [(VIEWER, True), (OTHER, False)]
        return self._there


def application(authenticator: StubAuthenticator, *origins: str) -> LiveApplication:
    return LiveApplication(
        cast(Preparer, None), cast(Engine, None), authenticator, cast(Feeds, None), origins, Budgets({})
    )


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://callout.test", "callout.test", True), ("http://callout.test:80", "callout.test:80", True),
        ("https://CALLOUT.test", "callout.TEST", True), ("https://a.example", "callout.test", True),
        ("https://b.example", "callout.test", True), ("http://a.example", "callout.test", False),
        ("https://callout.test:80", "callout.test", False), ("https://a.example.evil", "callout.test", False),
        ("https://evil.callout.test", "callout.test", False), ("null", "callout.test", False),
        ("https://[", "callout.test", False),
    ],
)  # fmt: skip
def test_only_pages_of_allowed_origins_may_open_sockets(origin: str, host: str, allowed: bool) -> None:
    assert application(StubAuthenticator(), "https://a.example", "https://b.example").allows(origin, host) is allowed


async def test_a_session_has_the_viewer_and_validity_of_its_token() -> None:
    session = await application(StubAuthenticator()).admit("Bearer x", None)
    assert (session.viewer, session.expires_at, session.by_key) == (VIEWER, 5.0, True)


async def test_sessions_without_access_are_gone_and_none_while_access_is_unknown() -> None:
    sessions = [Session(VIEWER, None, True), Session(OTHER, None, False)]
    assert await application(StubAuthenticator(there=[VIEWER])).gone(sessions) == [sessions[1]]
    assert await application(StubAuthenticator(there=[VIEWER, OTHER])).gone(sessions) == []
    assert list(await application(StubAuthenticator(TimeoutError())).gone(sessions)) == []
    assert list(await application(StubAuthenticator(ConnectionRefusedError())).gone(sessions)) == []


# Settings


def test_allowed_origins_are_separated_by_commas() -> None:
    origins = load(jwt_secret="x" * 32, allowed_origins=" https://a.example,https://b.example , ").allowed_origins
    assert origins == ("https://a.example", "https://b.example")


def test_each_time_has_its_own_setting() -> None:
    given = {"init": 3, "admission": 4, "ping": 5, "silence": 6}
    seconds = {f"socket_{name}_seconds": value for name, value in given.items()}
    times = load(jwt_secret="x" * 32, stream_beat_seconds=7, connection_watch_seconds=2, **seconds).times
    assert times == Times(init=3, admission=4, ping=5, silence=6, beat=7, watch=2)


def test_the_times_have_defaults() -> None:
    assert load(jwt_secret="x" * 32).times == Times(init=10, admission=10, ping=20, silence=60, beat=15, watch=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("socket_init_seconds", 0), ("socket_init_seconds", 3_601), ("socket_admission_seconds", -1),
        ("socket_ping_seconds", 40.1), ("socket_ping_seconds", "nan"), ("socket_silence_seconds", "inf"),
        ("socket_silence_seconds", 20), ("stream_beat_seconds", 0), ("connection_watch_seconds", 5.1),
    ],
)  # fmt: skip
def test_an_invalid_time_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        load(jwt_secret="x" * 32, **{name: value})
    assert [problem.partition(":")[0] for problem in refusal.value.problems] == [f"CALLOUT_{name.upper()}"]


# One stream


class Response:
    """A request for a stream, and the part of its response that has been sent."""

    def __init__(self, streams: EventStreams, document: str) -> None:
        self.body = b""
        self.complete = False
        self.flows = asyncio.Event()
        self.flows.set()
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._inbox.put_nowait({"type": "http.request", "body": orjson.dumps({"query": document})})
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "headers": [(b"authorization", b"Bearer x"), (b"content-type", b"application/json")],
            SCOPE_KEY: RequestInfo("id"),
        }
        self.running = asyncio.create_task(streams(self.scope, self._inbox.get, self._send))

    async def _send(self, message: Message) -> None:
        await self.flows.wait()
        if message["type"] == "http.response.body":
            assert not self.complete
            self.body += message["body"]
            self.complete = not message.get("more_body", False)

    def disconnect(self) -> None:
        self.flows.set()
        self._inbox.put_nowait({"type": "http.disconnect"})

    def taken(self) -> bytes:
        """Returns the bytes received since the last call."""
        body, self.body = self.body, b""
        return body


class StreamRig:
    """The streams with all their stand-ins."""

    def __init__(self, clock: Clock, beat: float = 3_600.0) -> None:
        self.clock = clock
        self.application = StubApplication()
        self.hub = Subscribers()
        self.connections = RecordingConnections()
        tickets = StreamTickets("log", cast(Database, None))
        self.streams = EventStreams(self.application, self.hub, self.connections, replace(TIMES, beat=beat), tickets)
        self._responses: list[Response] = []

    async def close(self) -> None:
        for response in self._responses:
            response.running.cancel()
        await asyncio.gather(*(response.running for response in self._responses), return_exceptions=True)

    def request(self, document: str) -> Response:
        self._responses.append(Response(self.streams, document))
        return self._responses[-1]

    async def following(self) -> Response:
        response = self.request(FOLLOW)
        await until(lambda: response.body)
        assert response.taken() == BEAT, "the first beat shows the client that it is connected"
        return response

    def check(self, seconds: float) -> None:
        self.clock.now += seconds
        for connection in self.connections.entered:
            connection.check(self.clock.now)


@pytest.fixture
async def rig(clock: Clock) -> AsyncIterator[StreamRig]:
    rig = StreamRig(clock)
    yield rig
    await rig.close()


def event(payload: bytes) -> bytes:
    return b"event: next\ndata: %b\n\n" % payload


END = b"event: complete\ndata:\n\n"


async def test_events_arrive_in_order_and_wait_for_a_slow_reader(rig: StreamRig) -> None:
    rig.application.after = "a cursor"
    response = await rig.following()
    (subscriber,) = rig.hub.subscribers
    assert rig.hub.afters == ["a cursor"]
    response.flows.clear()
    for n in range(5):
        subscriber.deliver(b'{"n":\r\n%d}' % n)
        await settled()
    drained = asyncio.create_task(subscriber.drained())
    await settled()
    assert (response.taken(), drained.done()) == (b"", False)
    response.flows.set()
    await until(drained.done)
    subscriber.deliver(b"{}")
    await settled()
    assert response.taken() == b"".join(event(b'{"n":  %d}' % n) for n in range(5)) + event(b"{}")


async def test_a_silent_stream_beats_repeatedly(clock: Clock) -> None:
    rig = StreamRig(clock, beat=0.001)
    response = rig.request(FOLLOW)
    async with asyncio.timeout(10):
        while response.body.count(BEAT) < 5:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.001)
    assert response.body.replace(BEAT, b"") == b""
    rig.hub.subscribers[0].deliver(b"{}")
    await settled()
    assert response.body.replace(BEAT, b"") == event(b"{}")
    await rig.close()


async def test_a_stream_with_events_does_not_beat(rig: StreamRig) -> None:
    response = await rig.following()
    for n in range(5):
        rig.hub.subscribers[0].deliver(b"%d" % n)
        await settled()
    assert response.taken() == b"".join(event(b"%d" % n) for n in range(5))


async def test_a_query_or_refused_operation_ends_with_complete(rig: StreamRig) -> None:
    rig.application.answer = b'{"data":\n{}}'
    for document, expected in ((ANSWER, b'{"data": {}}'), (REFUSAL, b'{"errors":[{"message":"No."}]}')):
        response = rig.request(document)
        await until(response.running.done)
        assert (response.complete, response.taken()) == (True, event(expected) + END)
    assert rig.connections.free_slots() == CONNECTIONS_MAX


async def test_a_viewer_with_too_many_connections_gets_no_stream(rig: StreamRig) -> None:
    for _ in range(CONNECTIONS_MAX):
        await rig.following()
    for _ in range(2):
        refused = rig.request(FOLLOW)
        await until(refused.running.done)
        with pytest.raises(TooManyConnections):
            await refused.running
    assert len(rig.application.requests) == CONNECTIONS_MAX
    assert rig.connections.free_slots() == 0


async def test_an_internal_error_leaves_no_connection_behind(rig: StreamRig) -> None:
    rig.application.failure = RuntimeError("a bug")
    response = rig.request(FOLLOW)
    await until(response.running.done)
    assert response.running.exception() is rig.application.failure
    assert rig.connections.free_slots() == CONNECTIONS_MAX


async def disconnects(rig: StreamRig, response: Response) -> None:
    response.disconnect()


async def expires(rig: StreamRig, response: Response) -> None:
    rig.check(100.0)
    await settled()
    assert not response.running.done()
    rig.check(0.1)


async def is_forbidden(rig: StreamRig, response: Response) -> None:
    rig.connections.entered[-1].forbid()


async def fails(rig: StreamRig, response: Response) -> None:
    rig.hub.subscribers[-1].fail()


async def is_shut_down(rig: StreamRig, response: Response) -> None:
    response.scope[ENDING].set()


async def fills_the_queue(rig: StreamRig, response: Response) -> None:
    response.flows.clear()
    for _ in range(QUEUE_MAX):
        rig.hub.subscribers[-1].deliver(b"{}")
    await settled()
    assert rig.hub.ended == []
    for _ in range(2):  # one is being sent
        rig.hub.subscribers[-1].deliver(b"{}")
    await settled()
    assert rig.hub.ended == rig.hub.subscribers
    response.flows.set()


async def does_not_read(rig: StreamRig, response: Response) -> None:
    response.flows.clear()
    rig.hub.subscribers[-1].deliver(b"{}")
    await settled()
    rig.check(SEND_SECONDS)
    await settled()
    assert rig.hub.ended == []
    rig.check(0.1)
    await settled()
    assert rig.hub.ended == rig.hub.subscribers
    response.flows.set()


async def is_cancelled(rig: StreamRig, response: Response) -> None:
    response.running.cancel()


@pytest.mark.parametrize(
    "leave",
    [disconnects, expires, is_forbidden, fails, is_shut_down, fills_the_queue, does_not_read, is_cancelled],
)
async def test_an_ended_stream_leaves_nothing_behind(
    rig: StreamRig, leave: Callable[[StreamRig, Response], Awaitable[None]]
) -> None:
    """However it ends: it sends no `complete`, so the client reconnects; its slot is free, and its subscription has
    ended."""
    tasks = asyncio.all_tasks()
    rig.application.session = Session(VIEWER, rig.clock.time() + 100.0, False)
    response = await rig.following()
    assert rig.connections.free_slots() == CONNECTIONS_MAX - 1
    await leave(rig, response)
    await until(response.running.done)
    await settled()
    assert END not in response.body
    assert response.complete or leave is is_cancelled
    assert rig.connections.free_slots() == CONNECTIONS_MAX
    assert rig.hub.ended == rig.hub.subscribers
    assert asyncio.all_tasks() == tasks


async def test_an_ended_stream_sends_no_more_events(rig: StreamRig) -> None:
    response = await rig.following()
    response.flows.clear()
    subscriber = rig.hub.subscribers[0]
    subscriber.fail()
    subscriber.deliver(b"{}")
    response.flows.set()
    await until(response.running.done)
    assert response.taken() == b""
