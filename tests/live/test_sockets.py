"""One WebSocket at a time, without a network or a database: the order of its messages, its time limits, and what it
cleans up at its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from callout.http.context import SCOPE_KEY, RequestInfo
from callout.http.errors import AuthenticationUnavailable, Unauthenticated
from callout.live.websocket import OPERATIONS_MAX, REASON_MAX
from pubsub.connections import CONNECTIONS_MAX, Session
from pubsub.send_queue import QUEUE_MAX, SEND_SECONDS, UNREAD
from tests.helpers.connecting import ANSWER, FOLLOW, REFUSAL, TIMES, VIEWER, Clock, SocketRig
from tests.helpers.wire import Wire, settled, until

LENGTHS = (125, 126, 127, 65_535, 65_536, 65_537)
NEXT = b'{"id":"1","type":"next","payload":'
PING = {"type": "ping"}


@pytest.fixture
async def rig(clock: Clock) -> AsyncIterator[SocketRig]:
    rig = SocketRig(clock)
    yield rig
    await rig.close()


def payload(text: str) -> bytes:
    return json.dumps({"data": text}, ensure_ascii=False).encode()


def of_length(length: int, letter: str = "x") -> bytes:
    """Returns a payload that makes the whole message `length` bytes long."""
    space = length - len(NEXT + payload("") + b"}")
    letters = space // len(letter.encode())
    return payload("-" * (space - letters * len(letter.encode())) + letter * letters)


def next_message(payload: bytes, id: str = "1") -> Any:
    return {"id": id, "type": "next", "payload": json.loads(payload)}


# Frames


@pytest.mark.parametrize("letter", ["x", "é", "한"])
@pytest.mark.parametrize("length", LENGTHS)
async def test_a_message_of_any_length_arrives_whole(rig: SocketRig, length: int, letter: str) -> None:
    wire, subscriber = await rig.following()
    text = of_length(length, letter)
    header = 2 if length < 126 else 4 if length < 2**16 else 10  # the shortest form for this length
    assert len(rig.sockets.frame(NEXT, text)) == header + length
    subscriber.deliver(text)
    assert len(wire.texts[-1].encode()) == length
    assert wire.unread() == [next_message(text)], "written at once"
    wire.block()
    subscriber.deliver(text)
    assert wire.unread() == []
    wire.unblock()
    assert await wire.receive() == next_message(text)


async def test_a_query_result_of_any_length_arrives_whole(rig: SocketRig) -> None:
    wire = await rig.admitted()
    for length in LENGTHS:
        rig.application.answer = of_length(length)
        wire.send(type="subscribe", id="1", payload={"query": ANSWER})
        assert await wire.receive() == next_message(rig.application.answer)
        assert len(wire.texts[-2]) == length
        assert await wire.receive() == {"id": "1", "type": "complete"}


async def test_each_subscription_receives_messages_under_its_own_id(rig: SocketRig) -> None:
    wire, one = await rig.following("one")
    other = await rig.subscribe(wire, "other")
    elsewhere, third = await rig.following("one")
    first, second = payload("first"), payload("second")
    for each in (first, second, first):
        for subscriber in (one, other, third):
            subscriber.deliver(each)
    assert wire.unread() == [next_message(each, id) for each in (first, second, first) for id in ("one", "other")]
    assert elsewhere.unread() == [next_message(each, "one") for each in (first, second, first)]


async def test_a_message_is_framed_once_for_all_subscriptions_with_the_same_id(rig: SocketRig) -> None:
    first, same_text = payload("first"), payload("first")
    frame = rig.sockets.frame(NEXT, first)
    assert rig.sockets.frame(NEXT, first) is frame
    assert rig.sockets.frame(b'{"id":"2","payload":', first) != frame
    assert rig.sockets.frame(NEXT, first) is frame
    assert rig.sockets.frame(NEXT, same_text) == frame
    assert rig.sockets.frame(NEXT, payload("other")) != frame


async def test_a_frame_is_written_only_to_an_open_writable_connection(rig: SocketRig) -> None:
    frame = rig.sockets.frame(NEXT, payload("text"))
    closed, shut_down, gone, new = [await rig.wire() for _ in range(4)]
    assert new.protocol.write_frame(frame)
    new.block()
    assert not new.protocol.write_frame(frame)
    new.unblock()
    assert new.protocol.write_frame(frame)
    assert new.unread() == [next_message(payload("text"))] * 2
    closed.send(type="nonsense")
    await until(lambda: closed.closed)
    shut_down.protocol.shutdown()
    gone.hang_up()
    for wire in (closed, shut_down, gone):
        assert not wire.protocol.write_frame(frame)


# Order


@pytest.mark.parametrize("before", [1, 2])
async def test_a_hubs_message_does_not_overtake_earlier_messages(rig: SocketRig, before: int) -> None:
    """Neither the message being sent nor the queued ones, even if the connection is writable again."""
    wire, subscriber = await rig.following()
    wire.block()
    for _ in range(before):
        wire.send(type="ping")
        await settled()
    wire.unblock()
    subscriber.deliver(payload("second"))
    assert wire.unread() == []
    await settled()
    assert wire.unread() == [{"type": "pong"}] * before + [next_message(payload("second"))]


@pytest.mark.parametrize("before", [1, 2])
async def test_a_reply_does_not_overtake_earlier_messages(rig: SocketRig, before: int) -> None:
    wire, subscriber = await rig.following()
    wire.block()
    for n in range(before):
        subscriber.deliver(payload(f"{n}"))
        await settled()
    wire.send(type="ping")  # the next message that the server reads
    wire.unblock()
    await settled()
    assert wire.unread() == [*(next_message(payload(f"{n}")) for n in range(before)), {"type": "pong"}]


async def test_a_message_that_was_just_queued_is_not_overtaken(rig: SocketRig) -> None:
    wire, subscriber = await rig.following()
    wire.block()
    subscriber.deliver(payload("first"))
    wire.unblock()
    subscriber.deliver(payload("second"))
    await settled()
    assert wire.unread() == [next_message(payload("first")), next_message(payload("second"))]


async def test_queued_messages_keep_their_order(rig: SocketRig) -> None:
    wire, subscriber = await rig.following()
    wire.block()
    for n in range(10):
        subscriber.deliver(payload(f"{n}"))
        await asyncio.sleep(0)
    wire.unblock()
    for n in range(10, 20):
        subscriber.deliver(payload(f"{n}"))
        await asyncio.sleep(0)
    await settled()
    assert wire.unread() == [next_message(payload(f"{n}")) for n in range(20)]


async def test_messages_are_written_directly_again_once_the_queue_is_empty(rig: SocketRig) -> None:
    wire, subscriber = await rig.following()
    wire.block()
    subscriber.deliver(payload("waits"))
    await settled()
    wire.unblock()
    assert await wire.receive() == next_message(payload("waits"))
    await settled()
    subscriber.deliver(payload("is written at once"))
    assert wire.unread() == [next_message(payload("is written at once"))]


async def test_a_queued_result_precedes_its_complete_message(rig: SocketRig) -> None:
    wire = await rig.admitted()
    wire.block()
    wire.send(type="subscribe", id="q", payload={"query": ANSWER})
    await settled()
    assert wire.unread() == []
    wire.unblock()
    assert [await wire.receive(), await wire.receive()] == [
        next_message(rig.application.answer, "q"),
        {"id": "q", "type": "complete"},
    ]


async def test_a_close_follows_written_messages_and_ends_the_stream(rig: SocketRig) -> None:
    wire, subscriber = await rig.following()
    subscriber.deliver(payload("before"))
    subscriber.fail()
    subscriber.deliver(payload("after"))
    assert await wire.gone() == (1013, "Try again later")
    assert wire.unread() == [next_message(payload("before"))]


async def test_a_close_does_not_wait_for_queued_messages(rig: SocketRig) -> None:
    wire, subscriber = await rig.following()
    wire.block()
    for text in ("on its way", "waits", "waits too"):
        subscriber.deliver(payload(text))
        await settled()
    subscriber.fail()
    subscriber.deliver(payload("comes too late"))
    wire.unblock()
    assert await wire.gone() == (1013, "Try again later")
    assert wire.unread() == [next_message(payload("on its way"))]


async def test_a_close_has_the_first_reason(rig: SocketRig) -> None:
    wire, subscriber = await rig.following()
    subscriber.fail()
    rig.connections.entered[-1].forbid()
    assert await wire.gone() == (1013, "Try again later")


async def test_messages_from_a_closing_client_are_ignored(rig: SocketRig) -> None:
    wire, subscriber = await rig.following()
    wire.block()
    wire.send(type="ping")
    await settled()
    subscriber.fail()
    wire.send(type="subscribe", id="2", payload={"query": ANSWER})
    wire.send(type="nonsense")
    await settled()
    assert [request.query for request in rig.application.requests] == [FOLLOW]
    wire.unblock()
    assert await wire.gone() == (1013, "Try again later")


async def test_a_subscriber_is_drained_once_all_messages_are_sent(rig: SocketRig) -> None:
    wire, subscriber = await rig.following()
    await subscriber.drained()
    wire.block()
    subscriber.deliver(payload("on its way"))
    await settled()
    subscriber.deliver(payload("waits"))
    drained = asyncio.create_task(subscriber.drained())
    await settled()
    assert not drained.done()
    wire.unblock()
    await until(drained.done)
    assert wire.unread() == [next_message(payload("on its way")), next_message(payload("waits"))]


async def test_sockets_work_on_a_server_without_frame_writing(rig: SocketRig) -> None:
    """They are an ordinary ASGI application."""
    sent: list[Any] = []
    inbox: asyncio.Queue[Any] = asyncio.Queue()

    async def send(message: Any) -> None:
        sent.append(message.get("text"))

    for text in (None, '{"type":"connection_init"}', '{"type":"ping"}'):
        inbox.put_nowait({"type": "websocket.receive", "text": text})
    scope = {
        "type": "websocket",
        "path": "/graphql",
        "headers": [],
        "subprotocols": ["graphql-transport-ws"],
        SCOPE_KEY: RequestInfo("id"),
    }
    running = asyncio.create_task(rig.sockets(scope, inbox.get, send))
    await until(lambda: len(sent) == 3)
    inbox.put_nowait({"type": "websocket.disconnect"})
    await until(running.done)
    assert sorted(sent[1:]) == ['{"type":"connection_ack"}', '{"type":"pong"}']


# Time limits


async def test_a_client_must_initialise_within_its_time(rig: SocketRig) -> None:
    late, later = await rig.wire(), await rig.wire()
    rig.check(TIMES.init)
    late.send(type="connection_init")
    assert await late.receive() == {"type": "connection_ack"}
    rig.check(0.1)
    assert await later.gone() == (4408, "Connection initialisation timeout")
    rig.check(TIMES.init)
    subscriber = await rig.subscribe(late, "1")
    subscriber.deliver(payload("stays"))
    assert late.unread() == [next_message(payload("stays"))]


async def test_messages_before_initialisation_do_not_extend_its_time(rig: SocketRig) -> None:
    wire = await rig.wire()
    rig.check(TIMES.init / 2)
    wire.send(type="ping")
    assert await wire.receive() == {"type": "pong"}
    rig.check(TIMES.init / 2 + 0.1)
    assert await wire.gone() == (4408, "Connection initialisation timeout")


async def test_the_time_of_a_slow_admission_does_not_count(rig: SocketRig) -> None:
    rig.application.admits.clear()
    wire = await rig.wire()
    rig.check(TIMES.init - 0.1)
    wire.send(type="connection_init")
    await settled()
    rig.check(1.0)
    rig.application.admits.set()
    assert await wire.receive() == {"type": "connection_ack"}
    assert wire.is_open


async def test_a_silent_client_is_pinged_repeatedly_and_finally_closed(rig: SocketRig) -> None:
    wire = await rig.admitted()
    pinged = []
    for second in range(1, 61):
        rig.check(1.0)
        pinged += [second for message in wire.unread() if message == PING]
    assert pinged == [21, 42]
    await settled()
    assert wire.is_open
    rig.check(1.0)
    assert await wire.gone() == (1013, "No answer to the ping")
    assert wire.unread() == []


@pytest.mark.parametrize(
    "message",
    [{"type": "pong"}, {"type": "ping"}, {"type": "complete", "id": "none"},
     {"type": "subscribe", "id": "q", "payload": {"query": ANSWER}}],
)  # fmt: skip
async def test_a_client_that_sends_any_message_stays_connected(rig: SocketRig, message: dict[str, Any]) -> None:
    wire = await rig.admitted()
    for _ in range(5):
        rig.check(TIMES.silence - 1)
        assert PING in wire.unread()
        wire.send(**message)
        await settled()
    assert wire.is_open


async def test_a_client_that_sends_often_is_not_pinged(rig: SocketRig) -> None:
    wire = await rig.admitted()
    for _ in range(10):
        rig.check(TIMES.ping)
        wire.send(type="ping")
        await settled()
    assert wire.unread() == [{"type": "pong"}] * 10


async def test_the_servers_messages_do_not_count_as_the_clients_activity(rig: SocketRig) -> None:
    wire, subscriber = await rig.following()
    for second in range(61):
        subscriber.deliver(payload(f"{second}"))
        rig.check(1.0)
    assert await wire.gone() == (1013, "No answer to the ping")


async def test_a_token_is_valid_until_exactly_its_expiry(rig: SocketRig) -> None:
    rig.application.session = Session(VIEWER, rig.clock.time() + 30, False)
    wire = await rig.admitted()
    rig.check(30)
    wire.send(type="ping")
    assert [await wire.receive(), await wire.receive()] == [PING, {"type": "pong"}]
    rig.check(0.1)
    assert await wire.gone() == (4403, "Forbidden: the token has expired")


async def test_a_client_that_reads_nothing_is_disconnected_without_a_close_frame(rig: SocketRig) -> None:
    wire, subscriber = await rig.following()
    wire.block()
    subscriber.deliver(payload("never read"))
    await settled()
    rig.check(SEND_SECONDS)
    await settled()
    assert rig.hub.ended == []
    rig.check(0.1)
    assert await wire.gone() is None
    assert rig.hub.ended == [subscriber]


async def test_a_client_that_reads_in_time_stays_connected(rig: SocketRig) -> None:
    wire, subscriber = await rig.following()
    for n in range(3):
        wire.block()
        subscriber.deliver(payload(f"{n}"))
        await settled()
        rig.check(SEND_SECONDS - 1)
        wire.send(type="pong")
        wire.unblock()
        assert await wire.receive() == next_message(payload(f"{n}"))
        await settled()
    rig.check(SEND_SECONDS + 1)
    await settled()
    assert wire.is_open


async def test_a_client_with_a_full_queue_is_closed(rig: SocketRig) -> None:
    wire, subscriber = await rig.following()
    wire.block()
    for n in range(QUEUE_MAX):
        subscriber.deliver(payload(f"{n}"))
    assert rig.hub.ended == []
    subscriber.deliver(payload("too much"))
    assert rig.hub.ended == [subscriber]
    wire.unblock()
    assert await wire.gone() == (1013, UNREAD)
    assert wire.unread() == []


# Admission


async def test_a_slow_admission_times_out(clock: Clock) -> None:
    rig = SocketRig(clock, replace(TIMES, admission=0.001))
    rig.application.admits.clear()
    wire = await rig.wire()
    wire.send(type="connection_init")
    await settled()
    async with asyncio.timeout(10):
        while wire.closed is None:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.001)
    assert await wire.gone() == (1013, "Try again later")
    assert rig.application.given_up == ["admission"]


async def test_a_client_that_leaves_during_admission_is_not_counted(rig: SocketRig) -> None:
    rig.application.admits.clear()
    for _ in range(3):
        wire = await rig.wire()
        wire.send(type="connection_init")
        await settled()
        wire.hang_up()
        await wire.gone()
    await settled()
    assert rig.application.given_up == ["admission"] * 3
    rig.application.admits.set()
    await settled()
    assert rig.connections.free_slots() == CONNECTIONS_MAX


async def test_an_operation_during_admission_is_refused(rig: SocketRig) -> None:
    rig.application.admits.clear()
    wire = await rig.wire()
    wire.send(type="connection_init")
    wire.send(type="subscribe", id="1", payload={"query": ANSWER})
    assert await wire.gone() == (4401, "Unauthorized")
    assert rig.application.requests == []


async def test_an_initialisation_during_another_closes_with_4429(rig: SocketRig) -> None:
    rig.application.admits.clear()
    wire = await rig.wire()
    wire.send(type="connection_init")
    wire.send(type="connection_init")
    assert await wire.gone() == (4429, "Too many initialisation requests")


@pytest.mark.parametrize(
    ("failure", "closed"),
    [
        (Unauthenticated("The token has expired."), (4403, "Forbidden: The token has expired.")),
        (AuthenticationUnavailable(reason="the issuer is not responding"), (1013, "Try again later")),
        (RuntimeError("a bug"), (1013, "Try again later")),
        (Unauthenticated("x" + "é" * REASON_MAX), (4403, "Forbidden: x" + "é" * ((REASON_MAX - 12) // 2))),
    ],
)
async def test_a_client_that_is_not_admitted_is_closed_and_not_counted(
    rig: SocketRig, failure: Exception, closed: tuple[int, str]
) -> None:
    rig.application.failure = failure
    wire = await rig.wire()
    wire.send(type="connection_init")
    assert await wire.gone() == closed
    assert rig.connections.free_slots() == CONNECTIONS_MAX


@pytest.mark.parametrize(
    ("sent", "header", "taken"),
    [
        ({"Authorization": "Bearer a"}, "Bearer b", "Bearer a"),
        ({"AUTHORIZATION": "Bearer a"}, None, "Bearer a"),
        ({"authorization": ""}, "Bearer b", "Bearer b"),
        ({"authorization": None}, "Bearer b", "Bearer b"),
        ({"other": 5}, "Bearer b", "Bearer b"),
        (None, None, None),
    ],
)
async def test_the_token_is_read_from_the_payload_or_the_header(
    rig: SocketRig, sent: Any, header: str | None, taken: str | None
) -> None:
    wire = await rig.wire(**{} if header is None else {"authorization": header})
    wire.send(type="connection_init", payload=sent)
    assert await wire.receive() == {"type": "connection_ack"}
    assert rig.application.authorizations == [taken]


async def test_a_viewers_connection_beyond_the_maximum_is_closed_and_not_counted(rig: SocketRig) -> None:
    for _ in range(CONNECTIONS_MAX):
        await rig.admitted()
    for _ in range(2):
        wire = await rig.wire()
        wire.send(type="connection_init")
        assert await wire.gone() == (1013, "Too many connections")
    assert rig.connections.free_slots() == 0


# Operations


async def test_ended_operations_do_not_count(rig: SocketRig) -> None:
    """Each operation ends once, and its id can be used again."""
    wire = await rig.admitted()
    for _ in range(OPERATIONS_MAX + 1):
        wire.send(type="subscribe", id="answered", payload={"query": ANSWER})
        assert [(await wire.receive())["type"] for _ in range(2)] == ["next", "complete"]
        wire.send(type="subscribe", id="refused", payload={"query": REFUSAL})
        assert (await wire.receive()) == {"id": "refused", "type": "error", "payload": [{"message": "No."}]}
        await rig.subscribe(wire, "ended")
        wire.send(type="complete", id="ended")
        await until(lambda: len(rig.hub.ended) == len(rig.hub.subscribers))
    assert rig.hub.ended == rig.hub.subscribers
    assert wire.is_open


async def test_a_connection_is_limited_to_a_hundred_operations_at_a_time(rig: SocketRig) -> None:
    wire = await rig.admitted()
    rig.application.replies.clear()
    for n in range(OPERATIONS_MAX + 1):
        wire.send(type="subscribe", id=f"{n}", payload={"query": FOLLOW})
    refused = await wire.receive()
    assert (refused["id"], refused["type"]) == (f"{OPERATIONS_MAX}", "error")
    assert refused["payload"][0]["extensions"] == {"code": "LIMIT_EXCEEDED"}
    wire.send(type="complete", id="7")
    wire.send(type="subscribe", id="one more", payload={"query": FOLLOW})
    rig.application.replies.set()
    await until(lambda: len(rig.hub.subscribers) == OPERATIONS_MAX)
    assert wire.unread() == []


async def test_completing_an_operation_cancels_its_execution(rig: SocketRig) -> None:
    wire = await rig.admitted()
    rig.application.replies.clear()
    wire.send(type="subscribe", id="1", payload={"query": ANSWER})
    await settled()
    wire.send(type="complete", id="1")
    await settled()
    assert rig.application.given_up == ["reply"]
    rig.application.replies.set()
    wire.send(type="subscribe", id="1", payload={"query": REFUSAL})
    assert (await wire.receive())["type"] == "error"
    await settled()
    assert wire.unread() == []


async def test_a_second_operation_with_the_id_of_a_running_one_closes_with_4409(rig: SocketRig) -> None:
    wire = await rig.admitted()
    rig.application.replies.clear()
    for _ in range(2):
        wire.send(type="subscribe", id="1", payload={"query": ANSWER})
    assert await wire.gone() == (4409, "Subscriber for 1 already exists")


@pytest.mark.parametrize("id", ["x", "x" * 200, "한" * 200, '"\\\n'])
async def test_ids_are_returned_unchanged(rig: SocketRig, id: str) -> None:
    wire, subscriber = await rig.following(id)
    subscriber.deliver(payload("text"))
    assert await wire.receive() == next_message(payload("text"), id)
    for document, type_ in ((ANSWER, "complete"), (REFUSAL, "error")):
        wire.send(type="complete", id=id)
        wire.send(type="subscribe", id=id, payload={"query": document})
        await settled()
        assert {message["id"] for message in wire.unread()} == {id}, type_


async def test_the_application_receives_the_operations_request(rig: SocketRig) -> None:
    wire = await rig.admitted()
    for name, known in (("A", "A"), ("", None), (None, None)):
        asked = {"query": ANSWER, "variables": {"a": 1}, "operationName": name, "extensions": {}}
        wire.send(type="subscribe", id="1", payload=asked)
        await wire.receive()
        await wire.receive()
        request = rig.application.requests[-1]
        assert (request.query, request.variables, request.operation_name) == (ANSWER, {"a": 1}, known)


async def test_a_subscription_continues_from_its_cursor(rig: SocketRig) -> None:
    rig.application.after = "a cursor"
    await rig.following()
    assert rig.hub.afters == ["a cursor"]


async def test_an_operation_with_an_internal_error_closes_with_1013(
    rig: SocketRig, caplog: pytest.LogCaptureFixture
) -> None:
    wire, subscriber = await rig.following()
    rig.application.failure = RuntimeError("a bug")
    wire.send(type="subscribe", id="2", payload={"query": ANSWER})
    assert await wire.gone() == (1013, "Try again later")
    assert rig.hub.ended == [subscriber]
    assert "cannot execute an operation" in caplog.text


# Cleaning up


async def hangs_up(rig: SocketRig, wire: Wire) -> None:
    wire.hang_up()


async def says_goodbye(rig: SocketRig, wire: Wire) -> None:
    wire.close_politely()


async def makes_a_mistake(rig: SocketRig, wire: Wire) -> None:
    wire.send(type="nonsense")


async def falls_silent(rig: SocketRig, wire: Wire) -> None:
    rig.check(TIMES.silence + 1)


async def does_not_read(rig: SocketRig, wire: Wire) -> None:
    wire.block()
    wire.send(type="ping")
    await settled()
    rig.check(SEND_SECONDS + 1)


async def does_not_read_the_close(rig: SocketRig, wire: Wire) -> None:
    wire.block()
    rig.hub.subscribers[-1].fail()
    await settled()
    rig.check(SEND_SECONDS + 1)


async def reads_too_late(rig: SocketRig, wire: Wire) -> None:
    """Hangs up while a message is being sent."""
    wire.block()
    wire.send(type="ping")
    await settled()
    wire.hang_up()


async def is_forbidden(rig: SocketRig, wire: Wire) -> None:
    rig.connections.entered[-1].forbid()


async def fails(rig: SocketRig, wire: Wire) -> None:
    rig.hub.subscribers[-1].fail()


async def is_shut_down(rig: SocketRig, wire: Wire) -> None:
    wire.protocol.shutdown()


async def is_cancelled(rig: SocketRig, wire: Wire) -> None:
    wire.cancel()


@pytest.mark.parametrize(
    "leave",
    [hangs_up, says_goodbye, makes_a_mistake, falls_silent, does_not_read, does_not_read_the_close, reads_too_late,
     is_forbidden, fails, is_shut_down, is_cancelled],
)  # fmt: skip
async def test_a_connection_leaves_nothing_behind(
    rig: SocketRig, leave: Callable[[SocketRig, Wire], Awaitable[None]]
) -> None:
    """However it ends: its slot is free, its subscriptions have ended, its running operations are cancelled, and none
    of its tasks is left or has failed."""
    others = asyncio.all_tasks()
    wire, subscriber = await rig.following()
    rig.application.replies.clear()
    wire.send(type="subscribe", id="2", payload={"query": ANSWER})
    await settled()
    assert rig.connections.free_slots() == CONNECTIONS_MAX - 1
    tasks = asyncio.all_tasks() - others
    await leave(rig, wire)
    await wire.gone()
    await settled()
    assert rig.connections.free_slots() == CONNECTIONS_MAX
    assert rig.hub.ended == [subscriber]
    assert rig.application.given_up == ["reply"]
    assert asyncio.all_tasks() == others
    assert [task for task in tasks if not task.cancelled() and task.exception() is not None] == []
