"""Who is connected, for how long and how often; and one stream of server-sent events at a time, with no network below
it and no database behind."""

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
from callout.execution.prepare import Preparer
from callout.execution.run import Engine
from callout.http.context import SCOPE_KEY, RequestInfo
from callout.http.server import ENDING
from callout.live.event_stream import EventStreams, TooManyConnections
from callout.live.operations import LiveApplication
from callout.settings import InvalidSettings, load
from db.enums import Role
from db.postgres.pool import Database
from db.viewer import Viewer
from pubsub.connections import CONNECTIONS_MAX, Session, Times
from pubsub.send_queue import QUEUE_MAX, SEND_SECONDS
from tests.helpers.connecting import ANSWER, FOLLOW, REFUSAL, TIMES, VIEWER, Clock, Desk, Idle, Subscribers, Table
from tests.helpers.wire import settled, until

BEAT = b":\n\n"
OTHER = Viewer(Role.SERVICE, VIEWER.id, VIEWER.name)


# Counting


def test_a_viewer_has_fifty_connections_at_most_and_others_have_their_own() -> None:
    table = Table()
    assert (table.places(), table.places(OTHER)) == (CONNECTIONS_MAX, CONNECTIONS_MAX)
    first, second = Idle(), Idle()
    for connection in (first, second):
        table.enter(connection)
        assert table.admit(connection, Session(VIEWER, None, False))
    assert (table.places(), table.places(OTHER)) == (CONNECTIONS_MAX - 2, CONNECTIONS_MAX)
    table.leave(first)
    assert table.places() == CONNECTIONS_MAX - 1
    table.leave(second)
    assert table.places() == CONNECTIONS_MAX


def test_a_viewer_without_connections_is_forgotten() -> None:
    class Guest(Viewer):
        """One to whom there can be a weak reference."""

    table = Table()
    viewer = Guest(Role.ADMIN, "guest", "A guest")
    connection = Idle()
    table.enter(connection)
    assert table.admit(connection, Session(viewer, None, False))
    table.leave(connection)
    forgotten = ref(viewer)
    table.came.clear()
    del viewer, connection
    assert forgotten() is None


def test_who_was_never_admitted_gives_no_place_back() -> None:
    table = Table()
    admitted, waiting = Idle(), Idle()
    for connection in (admitted, waiting):
        table.enter(connection)
    assert table.admit(admitted, Session(VIEWER, None, False))
    table.leave(waiting)
    assert table.places() == CONNECTIONS_MAX - 1


def test_who_has_left_is_not_admitted_any_more() -> None:
    table = Table()
    connection = Idle()
    table.enter(connection)
    table.leave(connection)
    assert not table.admit(connection, Session(VIEWER, None, False))
    assert connection.session is None
    assert table.places() == CONNECTIONS_MAX


@pytest.mark.parametrize(("expires", "expired"), [(None, False), (-0.1, True), (0.0, False), (0.1, False)])
def test_a_session_expires_with_its_token(clock: Clock, expires: float | None, expired: bool) -> None:
    session = Session(VIEWER, None if expires is None else clock.time() + expires, False)
    assert session.expired is expired


# Watching


@pytest.fixture
async def watched() -> AsyncIterator[Table]:
    table = Table()
    watching = asyncio.create_task(table.watch())
    yield table
    watching.cancel()


async def test_everybody_is_checked_again_and_again_until_they_leave(clock: Clock, watched: Table) -> None:
    connections = [Idle(), Idle()]
    for connection in connections:
        watched.enter(connection)
    await until(lambda: all(len(connection.checks) >= 3 for connection in connections))
    assert set(connections[0].checks) == {clock.now}
    watched.leave(connections[0])
    checks = len(connections[0].checks), len(connections[1].checks)
    await until(lambda: len(connections[1].checks) >= checks[1] + 3)
    assert len(connections[0].checks) == checks[0]


async def test_a_connection_may_leave_while_it_is_checked(watched: Table) -> None:
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


async def test_whoever_is_no_longer_let_in_is_forbidden_and_the_others_stay(watched: Table) -> None:
    """The watch goes on: whoever is not let in later is forbidden then."""
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


# Coming in


class Gate(Authenticator):
    """Lets everybody in as one viewer, unless there is a `failure`; `there` are those who would still be let in."""

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


def application(gate: Gate, *origins: str) -> LiveApplication:
    return LiveApplication(cast(Preparer, None), cast(Engine, None), gate, cast(Database, None), origins)


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
def test_whose_pages_may_open_sockets(origin: str, host: str, allowed: bool) -> None:
    assert application(Gate(), "https://a.example", "https://b.example").allows(origin, host) is allowed


async def test_who_is_admitted_gets_a_session_as_good_as_the_token() -> None:
    session = await application(Gate()).admit("Bearer x")
    assert (session.viewer, session.expires_at, session.by_key) == (VIEWER, 5.0, True)


async def test_who_is_gone_is_who_is_not_there_and_nobody_while_that_is_unknown() -> None:
    sessions = [Session(VIEWER, None, True), Session(OTHER, None, False)]
    assert await application(Gate(there=[VIEWER])).gone(sessions) == [sessions[1]]
    assert await application(Gate(there=[VIEWER, OTHER])).gone(sessions) == []
    assert list(await application(Gate(TimeoutError())).gone(sessions)) == []
    assert list(await application(Gate(ConnectionRefusedError())).gone(sessions)) == []


# Settings


def test_origins_are_read_from_a_list_with_commas() -> None:
    origins = load(jwt_secret="x" * 32, allowed_origins=" https://a.example,https://b.example , ").allowed_origins
    assert origins == ("https://a.example", "https://b.example")


def test_each_time_has_a_setting_of_its_own() -> None:
    given = {"init": 3, "admission": 4, "ping": 5, "silence": 6}
    seconds = {f"socket_{name}_seconds": value for name, value in given.items()}
    times = load(jwt_secret="x" * 32, stream_beat_seconds=7, connection_watch_seconds=2, **seconds).times
    assert times == Times(init=3, admission=4, ping=5, silence=6, beat=7, watch=2)


def test_the_times_as_they_are_unless_somebody_sets_them() -> None:
    assert load(jwt_secret="x" * 32).times == Times(init=10, admission=10, ping=20, silence=60, beat=15, watch=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("socket_init_seconds", 0), ("socket_init_seconds", 3_601), ("socket_admission_seconds", -1),
        ("socket_ping_seconds", 40.1), ("socket_ping_seconds", "nan"), ("socket_silence_seconds", "inf"),
        ("socket_silence_seconds", 20), ("stream_beat_seconds", 0), ("connection_watch_seconds", 5.1),
    ],
)  # fmt: skip
def test_a_time_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        load(jwt_secret="x" * 32, **{name: value})
    assert [problem.partition(":")[0] for problem in refusal.value.problems] == [f"CALLOUT_{name.upper()}"]


# One stream


class Response:
    """One request for a stream, and what has been sent of the response."""

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
        """What has come since the last time."""
        body, self.body = self.body, b""
        return body


class Lounge:
    """Streams with all that is around them."""

    def __init__(self, clock: Clock, beat: float = 3_600.0) -> None:
        self.clock = clock
        self.desk = Desk()
        self.hub = Subscribers()
        self.table = Table()
        self.streams = EventStreams(self.desk, self.hub, self.table, replace(TIMES, beat=beat))
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
        assert response.taken() == BEAT, "so that the client knows at once that it is connected"
        return response

    def check(self, seconds: float) -> None:
        self.clock.now += seconds
        for connection in self.table.came:
            connection.check(self.clock.now)


@pytest.fixture
async def lounge(clock: Clock) -> AsyncIterator[Lounge]:
    lounge = Lounge(clock)
    yield lounge
    await lounge.close()


def event(payload: bytes) -> bytes:
    return b"event: next\ndata: %b\n\n" % payload


END = b"event: complete\ndata:\n\n"


async def test_events_come_in_order_and_wait_for_a_slow_reader(lounge: Lounge) -> None:
    lounge.desk.after = "a cursor"
    response = await lounge.following()
    (member,) = lounge.hub.members
    assert lounge.hub.afters == ["a cursor"]
    response.flows.clear()
    for n in range(5):
        member.deliver(b'{"n":\r\n%d}' % n)
        await settled()
    drained = asyncio.create_task(member.drained())
    await settled()
    assert (response.taken(), drained.done()) == (b"", False)
    response.flows.set()
    await until(drained.done)
    member.deliver(b"{}")
    await settled()
    assert response.taken() == b"".join(event(b'{"n":  %d}' % n) for n in range(5)) + event(b"{}")


async def test_a_stream_beats_in_silence_again_and_again(clock: Clock) -> None:
    lounge = Lounge(clock, beat=0.001)
    response = lounge.request(FOLLOW)
    async with asyncio.timeout(10):
        while response.body.count(BEAT) < 5:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.001)
    assert response.body.replace(BEAT, b"") == b""
    lounge.hub.members[0].deliver(b"{}")
    await settled()
    assert response.body.replace(BEAT, b"") == event(b"{}")
    await lounge.close()


async def test_a_stream_does_not_beat_while_there_is_something_to_send(lounge: Lounge) -> None:
    response = await lounge.following()
    for n in range(5):
        lounge.hub.members[0].deliver(b"%d" % n)
        await settled()
    assert response.taken() == b"".join(event(b"%d" % n) for n in range(5))


async def test_what_is_answered_or_refused_is_complete(lounge: Lounge) -> None:
    lounge.desk.answer = b'{"data":\n{}}'
    for document, expected in ((ANSWER, b'{"data": {}}'), (REFUSAL, b'{"errors":[{"message":"No."}]}')):
        response = lounge.request(document)
        await until(response.running.done)
        assert (response.complete, response.taken()) == (True, event(expected) + END)
    assert lounge.table.places() == CONNECTIONS_MAX


async def test_a_viewer_with_too_many_connections_gets_no_stream(lounge: Lounge) -> None:
    for _ in range(CONNECTIONS_MAX):
        await lounge.following()
    for _ in range(2):
        refused = lounge.request(FOLLOW)
        await until(refused.running.done)
        with pytest.raises(TooManyConnections):
            await refused.running
    assert len(lounge.desk.requests) == CONNECTIONS_MAX
    assert lounge.table.places() == 0


async def test_a_reply_that_breaks_down_leaves_nothing_behind(lounge: Lounge) -> None:
    lounge.desk.failure = RuntimeError("a bug")
    response = lounge.request(FOLLOW)
    await until(response.running.done)
    assert response.running.exception() is lounge.desk.failure
    assert lounge.table.places() == CONNECTIONS_MAX


async def disconnects(lounge: Lounge, response: Response) -> None:
    response.disconnect()


async def expires(lounge: Lounge, response: Response) -> None:
    lounge.check(100.0)
    await settled()
    assert not response.running.done()
    lounge.check(0.1)


async def is_forbidden(lounge: Lounge, response: Response) -> None:
    lounge.table.came[-1].forbid()


async def fails(lounge: Lounge, response: Response) -> None:
    lounge.hub.members[-1].fail()


async def is_shut_down(lounge: Lounge, response: Response) -> None:
    response.scope[ENDING].set()


async def lets_too_much_wait(lounge: Lounge, response: Response) -> None:
    response.flows.clear()
    for _ in range(QUEUE_MAX):
        lounge.hub.members[-1].deliver(b"{}")
    await settled()
    assert lounge.hub.ended == []
    for _ in range(2):  # one is on its way
        lounge.hub.members[-1].deliver(b"{}")
    await settled()
    assert lounge.hub.ended == lounge.hub.members
    response.flows.set()


async def does_not_read(lounge: Lounge, response: Response) -> None:
    response.flows.clear()
    lounge.hub.members[-1].deliver(b"{}")
    await settled()
    lounge.check(SEND_SECONDS)
    await settled()
    assert lounge.hub.ended == []
    lounge.check(0.1)
    await settled()
    assert lounge.hub.ended == lounge.hub.members
    response.flows.set()


async def is_cancelled(lounge: Lounge, response: Response) -> None:
    response.running.cancel()


@pytest.mark.parametrize(
    "leave",
    [disconnects, expires, is_forbidden, fails, is_shut_down, lets_too_much_wait, does_not_read, is_cancelled],
)
async def test_nothing_is_left_of_a_stream_that_ends(
    lounge: Lounge, leave: Callable[[Lounge, Response], Awaitable[None]]
) -> None:
    """However it happens: it is not `complete`, so the client comes again; its place is free and its subscription has
    ended."""
    tasks = asyncio.all_tasks()
    lounge.desk.session = Session(VIEWER, lounge.clock.time() + 100.0, False)
    response = await lounge.following()
    assert lounge.table.places() == CONNECTIONS_MAX - 1
    await leave(lounge, response)
    await until(response.running.done)
    await settled()
    assert END not in response.body
    assert response.complete or leave is is_cancelled
    assert lounge.table.places() == CONNECTIONS_MAX
    assert lounge.hub.ended == lounge.hub.members
    assert asyncio.all_tasks() == tasks


async def test_a_stream_that_ends_gets_no_more_events(lounge: Lounge) -> None:
    response = await lounge.following()
    response.flows.clear()
    member = lounge.hub.members[0]
    member.fail()
    member.deliver(b"{}")
    response.flows.set()
    await until(response.running.done)
    assert response.taken() == b""
