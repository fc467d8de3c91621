"""One WebSocket at a time, with no network below and no database behind: what it sends in which order, how long it
stays open, and what is left of it when it has gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from callout.http.errors import AuthenticationUnavailable, Unauthenticated
from callout.live.websocket import OPERATIONS_MAX, REASON_MAX
from pubsub.connections import CONNECTIONS_MAX, Session
from pubsub.send_queue import QUEUE_MAX, SEND_SECONDS, UNREAD
from tests.helpers.connecting import ANSWER, FOLLOW, REFUSAL, TIMES, VIEWER, Clock, Room
from tests.helpers.wire import Wire, settled, until

LENGTHS = (125, 126, 127, 65_535, 65_536, 65_537)
NEXT = b'{"id":"1","type":"next","payload":'
PING = {"type": "ping"}


@pytest.fixture
async def room(clock: Clock) -> AsyncIterator[Room]:
    room = Room(clock)
    yield room
    await room.close()


def payload(text: str) -> bytes:
    return json.dumps({"data": text}, ensure_ascii=False).encode()


def of_length(length: int, letter: str = "x") -> bytes:
    """A payload with which the whole message is so many bytes long."""
    room = length - len(NEXT + payload("") + b"}")
    letters = room // len(letter.encode())
    return payload("-" * (room - letters * len(letter.encode())) + letter * letters)


def next_message(payload: bytes, id: str = "1") -> Any:
    return {"id": id, "type": "next", "payload": json.loads(payload)}


# Frames


@pytest.mark.parametrize("letter", ["x", "é", "한"])
@pytest.mark.parametrize("length", LENGTHS)
async def test_a_message_of_any_length_arrives_whole(room: Room, length: int, letter: str) -> None:
    wire, member = await room.following()
    text = of_length(length, letter)
    header = 2 if length < 126 else 4 if length < 2**16 else 10  # the shortest that holds the length
    assert len(room.sockets.frame(NEXT, text)) == header + length
    member.deliver(text)
    assert len(wire.texts[-1].encode()) == length
    assert wire.unread() == [next_message(text)], "written at once"
    wire.block()
    member.deliver(text)
    assert wire.unread() == []
    wire.unblock()
    assert await wire.receive() == next_message(text)


async def test_an_answer_of_any_length_arrives_whole(room: Room) -> None:
    wire = await room.admitted()
    for length in LENGTHS:
        room.desk.answer = of_length(length)
        wire.send(type="subscribe", id="1", payload={"query": ANSWER})
        assert await wire.receive() == next_message(room.desk.answer)
        assert len(wire.texts[-2]) == length
        assert await wire.receive() == {"id": "1", "type": "complete"}


async def test_each_subscription_gets_its_messages_under_its_own_id(room: Room) -> None:
    wire, one = await room.following("one")
    other = await room.subscribe(wire, "other")
    elsewhere, third = await room.following("one")
    first, second = payload("first"), payload("second")
    for each in (first, second, first):
        for member in (one, other, third):
            member.deliver(each)
    assert wire.unread() == [next_message(each, id) for each in (first, second, first) for id in ("one", "other")]
    assert elsewhere.unread() == [next_message(each, "one") for each in (first, second, first)]


async def test_a_message_is_framed_once_for_all_who_have_the_same_id(room: Room) -> None:
    first, same_text = payload("first"), payload("first")
    frame = room.sockets.frame(NEXT, first)
    assert room.sockets.frame(NEXT, first) is frame
    assert room.sockets.frame(b'{"id":"2","payload":', first) != frame
    assert room.sockets.frame(NEXT, first) is frame
    assert room.sockets.frame(NEXT, same_text) == frame
    assert room.sockets.frame(NEXT, payload("other")) != frame


async def test_a_frame_is_written_only_to_a_line_that_is_open_and_free(room: Room) -> None:
    frame = room.sockets.frame(NEXT, payload("text"))
    closed, shut_down, gone, new = [await room.wire() for _ in range(4)]
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
async def test_what_the_hub_sends_overtakes_nothing(room: Room, before: int) -> None:
    """Not what is on its way, nor what waits behind it, though the line is free again."""
    wire, member = await room.following()
    wire.block()
    for _ in range(before):
        wire.send(type="ping")
        await settled()
    wire.unblock()
    member.deliver(payload("second"))
    assert wire.unread() == []
    await settled()
    assert wire.unread() == [{"type": "pong"}] * before + [next_message(payload("second"))]


@pytest.mark.parametrize("before", [1, 2])
async def test_what_a_client_asks_for_overtakes_nothing(room: Room, before: int) -> None:
    wire, member = await room.following()
    wire.block()
    for n in range(before):
        member.deliver(payload(f"{n}"))
        await settled()
    wire.send(type="ping")  # is read next
    wire.unblock()
    await settled()
    assert wire.unread() == [*(next_message(payload(f"{n}")) for n in range(before)), {"type": "pong"}]


async def test_what_has_only_just_begun_to_wait_is_not_overtaken(room: Room) -> None:
    wire, member = await room.following()
    wire.block()
    member.deliver(payload("first"))
    wire.unblock()
    member.deliver(payload("second"))
    await settled()
    assert wire.unread() == [next_message(payload("first")), next_message(payload("second"))]


async def test_messages_that_wait_keep_their_order(room: Room) -> None:
    wire, member = await room.following()
    wire.block()
    for n in range(10):
        member.deliver(payload(f"{n}"))
        await asyncio.sleep(0)
    wire.unblock()
    for n in range(10, 20):
        member.deliver(payload(f"{n}"))
        await asyncio.sleep(0)
    await settled()
    assert wire.unread() == [next_message(payload(f"{n}")) for n in range(20)]


async def test_once_nothing_waits_messages_are_written_at_once_again(room: Room) -> None:
    wire, member = await room.following()
    wire.block()
    member.deliver(payload("waits"))
    await settled()
    wire.unblock()
    assert await wire.receive() == next_message(payload("waits"))
    await settled()
    member.deliver(payload("is written at once"))
    assert wire.unread() == [next_message(payload("is written at once"))]


async def test_an_answer_comes_before_its_end_also_where_both_wait(room: Room) -> None:
    wire = await room.admitted()
    wire.block()
    wire.send(type="subscribe", id="q", payload={"query": ANSWER})
    await settled()
    assert wire.unread() == []
    wire.unblock()
    assert [await wire.receive(), await wire.receive()] == [
        next_message(room.desk.answer, "q"),
        {"id": "q", "type": "complete"},
    ]


async def test_what_was_written_comes_before_the_close_and_nothing_after_it(room: Room) -> None:
    wire, member = await room.following()
    member.deliver(payload("before"))
    member.fail()
    member.deliver(payload("after"))
    assert await wire.gone() == (1013, "Try again later")
    assert wire.unread() == [next_message(payload("before"))]


async def test_a_close_does_not_wait_for_what_waits(room: Room) -> None:
    wire, member = await room.following()
    wire.block()
    for text in ("on its way", "waits", "waits too"):
        member.deliver(payload(text))
        await settled()
    member.fail()
    member.deliver(payload("comes too late"))
    wire.unblock()
    assert await wire.gone() == (1013, "Try again later")
    assert wire.unread() == [next_message(payload("on its way"))]


async def test_the_first_reason_to_close_is_the_one_that_is_given(room: Room) -> None:
    wire, member = await room.following()
    member.fail()
    room.table.came[-1].forbid()
    assert await wire.gone() == (1013, "Try again later")


async def test_nothing_is_done_for_a_client_that_is_being_closed(room: Room) -> None:
    wire, member = await room.following()
    wire.block()
    wire.send(type="ping")
    await settled()
    member.fail()
    wire.send(type="subscribe", id="2", payload={"query": ANSWER})
    wire.send(type="nonsense")
    await settled()
    assert [request.query for request in room.desk.requests] == [FOLLOW]
    wire.unblock()
    assert await wire.gone() == (1013, "Try again later")


async def test_a_member_is_drained_once_all_has_been_taken(room: Room) -> None:
    wire, member = await room.following()
    await member.drained()
    wire.block()
    member.deliver(payload("on its way"))
    await settled()
    member.deliver(payload("waits"))
    drained = asyncio.create_task(member.drained())
    await settled()
    assert not drained.done()
    wire.unblock()
    await until(drained.done)
    assert wire.unread() == [next_message(payload("on its way")), next_message(payload("waits"))]


async def test_a_server_that_cannot_write_frames_sends_all_the_same(room: Room) -> None:
    """The sockets are an ASGI application like others."""
    sent: list[Any] = []
    inbox: asyncio.Queue[Any] = asyncio.Queue()

    async def send(message: Any) -> None:
        sent.append(message.get("text"))

    for text in (None, '{"type":"connection_init"}', '{"type":"ping"}'):
        inbox.put_nowait({"type": "websocket.receive", "text": text})
    scope = {"type": "websocket", "headers": [], "subprotocols": ["graphql-transport-ws"]}
    running = asyncio.create_task(room.sockets(scope, inbox.get, send))
    await until(lambda: len(sent) == 3)
    inbox.put_nowait({"type": "websocket.disconnect"})
    await until(running.done)
    assert sorted(sent[1:]) == ['{"type":"connection_ack"}', '{"type":"pong"}']


# How long it stays


async def test_a_client_may_take_its_time_to_initialise_but_not_more(room: Room) -> None:
    late, later = await room.wire(), await room.wire()
    room.check(TIMES.init)
    late.send(type="connection_init")
    assert await late.receive() == {"type": "connection_ack"}
    room.check(0.1)
    assert await later.gone() == (4408, "Connection initialisation timeout")
    room.check(TIMES.init)
    member = await room.subscribe(late, "1")
    member.deliver(payload("stays"))
    assert late.unread() == [next_message(payload("stays"))]


async def test_a_client_that_speaks_before_it_initialises_is_late_all_the_same(room: Room) -> None:
    wire = await room.wire()
    room.check(TIMES.init / 2)
    wire.send(type="ping")
    assert await wire.receive() == {"type": "pong"}
    room.check(TIMES.init / 2 + 0.1)
    assert await wire.gone() == (4408, "Connection initialisation timeout")


async def test_a_slow_admission_is_not_the_clients_delay(room: Room) -> None:
    room.desk.admits.clear()
    wire = await room.wire()
    room.check(TIMES.init - 0.1)
    wire.send(type="connection_init")
    await settled()
    room.check(1.0)
    room.desk.admits.set()
    assert await wire.receive() == {"type": "connection_ack"}
    assert wire.is_open


async def test_a_silent_client_is_asked_again_and_again_and_closed_in_the_end(room: Room) -> None:
    wire = await room.admitted()
    asked = []
    for second in range(1, 61):
        room.check(1.0)
        asked += [second for message in wire.unread() if message == PING]
    assert asked == [21, 42]
    await settled()
    assert wire.is_open
    room.check(1.0)
    assert await wire.gone() == (1013, "No answer to the ping")
    assert wire.unread() == []


@pytest.mark.parametrize(
    "message",
    [{"type": "pong"}, {"type": "ping"}, {"type": "complete", "id": "none"},
     {"type": "subscribe", "id": "q", "payload": {"query": ANSWER}}],
)  # fmt: skip
async def test_whoever_says_anything_stays(room: Room, message: dict[str, Any]) -> None:
    wire = await room.admitted()
    for _ in range(5):
        room.check(TIMES.silence - 1)
        assert PING in wire.unread()
        wire.send(**message)
        await settled()
    assert wire.is_open


async def test_whoever_speaks_often_is_not_asked(room: Room) -> None:
    wire = await room.admitted()
    for _ in range(10):
        room.check(TIMES.ping)
        wire.send(type="ping")
        await settled()
    assert wire.unread() == [{"type": "pong"}] * 10


async def test_what_the_server_says_does_not_make_the_client_less_silent(room: Room) -> None:
    wire, member = await room.following()
    for second in range(61):
        member.deliver(payload(f"{second}"))
        room.check(1.0)
    assert await wire.gone() == (1013, "No answer to the ping")


async def test_a_token_is_good_to_its_last_moment(room: Room) -> None:
    room.desk.session = Session(VIEWER, room.clock.time() + 30, False)
    wire = await room.admitted()
    room.check(30)
    wire.send(type="ping")
    assert [await wire.receive(), await wire.receive()] == [PING, {"type": "pong"}]
    room.check(0.1)
    assert await wire.gone() == (4403, "Forbidden: the token has expired")


async def test_a_client_that_takes_nothing_is_cut_off_without_a_close_frame(room: Room) -> None:
    wire, member = await room.following()
    wire.block()
    member.deliver(payload("never read"))
    await settled()
    room.check(SEND_SECONDS)
    await settled()
    assert room.hub.ended == []
    room.check(0.1)
    assert await wire.gone() is None
    assert room.hub.ended == [member]


async def test_a_client_that_takes_everything_in_time_stays(room: Room) -> None:
    wire, member = await room.following()
    for n in range(3):
        wire.block()
        member.deliver(payload(f"{n}"))
        await settled()
        room.check(SEND_SECONDS - 1)
        wire.send(type="pong")
        wire.unblock()
        assert await wire.receive() == next_message(payload(f"{n}"))
        await settled()
    room.check(SEND_SECONDS + 1)
    await settled()
    assert wire.is_open


async def test_a_client_that_lets_too_much_wait_is_closed(room: Room) -> None:
    wire, member = await room.following()
    wire.block()
    for n in range(QUEUE_MAX):
        member.deliver(payload(f"{n}"))
    assert room.hub.ended == []
    member.deliver(payload("too much"))
    assert room.hub.ended == [member]
    wire.unblock()
    assert await wire.gone() == (1013, UNREAD)
    assert wire.unread() == []


# Coming in


async def test_an_admission_that_takes_too_long_is_cut(clock: Clock) -> None:
    room = Room(clock, replace(TIMES, admission=0.001))
    room.desk.admits.clear()
    wire = await room.wire()
    wire.send(type="connection_init")
    await settled()
    async with asyncio.timeout(10):
        while wire.closed is None:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.001)
    assert await wire.gone() == (1013, "Try again later")
    assert room.desk.given_up == ["admission"]


async def test_a_client_that_leaves_while_it_is_admitted_is_not_counted(room: Room) -> None:
    room.desk.admits.clear()
    for _ in range(3):
        wire = await room.wire()
        wire.send(type="connection_init")
        await settled()
        wire.hang_up()
        await wire.gone()
    await settled()
    assert room.desk.given_up == ["admission"] * 3
    room.desk.admits.set()
    await settled()
    assert room.table.places() == CONNECTIONS_MAX


async def test_nothing_is_done_during_an_admission(room: Room) -> None:
    room.desk.admits.clear()
    wire = await room.wire()
    wire.send(type="connection_init")
    wire.send(type="subscribe", id="1", payload={"query": ANSWER})
    assert await wire.gone() == (4401, "Unauthorized")
    assert room.desk.requests == []


async def test_an_initialisation_during_another_closes_with_4429(room: Room) -> None:
    room.desk.admits.clear()
    wire = await room.wire()
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
async def test_who_is_not_admitted_is_closed_and_not_counted(
    room: Room, failure: Exception, closed: tuple[int, str]
) -> None:
    room.desk.failure = failure
    wire = await room.wire()
    wire.send(type="connection_init")
    assert await wire.gone() == closed
    assert room.table.places() == CONNECTIONS_MAX


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
async def test_the_tokens_place(room: Room, sent: Any, header: str | None, taken: str | None) -> None:
    wire = await room.wire(**{} if header is None else {"authorization": header})
    wire.send(type="connection_init", payload=sent)
    assert await wire.receive() == {"type": "connection_ack"}
    assert room.desk.authorizations == [taken]


async def test_a_viewer_with_too_many_connections_is_closed_and_counted_no_further(room: Room) -> None:
    for _ in range(CONNECTIONS_MAX):
        await room.admitted()
    for _ in range(2):
        wire = await room.wire()
        wire.send(type="connection_init")
        assert await wire.gone() == (1013, "Too many connections")
    assert room.table.places() == 0


# Operations


async def test_what_has_ended_makes_room_for_others(room: Room) -> None:
    """Every operation ends once, and its id can be used again."""
    wire = await room.admitted()
    for _ in range(OPERATIONS_MAX + 1):
        wire.send(type="subscribe", id="answered", payload={"query": ANSWER})
        assert [(await wire.receive())["type"] for _ in range(2)] == ["next", "complete"]
        wire.send(type="subscribe", id="refused", payload={"query": REFUSAL})
        assert (await wire.receive()) == {"id": "refused", "type": "error", "payload": [{"message": "No."}]}
        await room.subscribe(wire, "ended")
        wire.send(type="complete", id="ended")
        await until(lambda: len(room.hub.ended) == len(room.hub.members))
    assert room.hub.ended == room.hub.members
    assert wire.is_open


async def test_a_hundred_operations_at_a_time_and_not_one_more(room: Room) -> None:
    wire = await room.admitted()
    room.desk.replies.clear()
    for n in range(OPERATIONS_MAX + 1):
        wire.send(type="subscribe", id=f"{n}", payload={"query": FOLLOW})
    refused = await wire.receive()
    assert (refused["id"], refused["type"]) == (f"{OPERATIONS_MAX}", "error")
    assert refused["payload"][0]["extensions"] == {"code": "LIMIT_EXCEEDED"}
    wire.send(type="complete", id="7")
    wire.send(type="subscribe", id="one more", payload={"query": FOLLOW})
    room.desk.replies.set()
    await until(lambda: len(room.hub.members) == OPERATIONS_MAX)
    assert wire.unread() == []


async def test_an_operation_that_is_completed_while_it_is_executed_is_given_up(room: Room) -> None:
    wire = await room.admitted()
    room.desk.replies.clear()
    wire.send(type="subscribe", id="1", payload={"query": ANSWER})
    await settled()
    wire.send(type="complete", id="1")
    await settled()
    assert room.desk.given_up == ["reply"]
    room.desk.replies.set()
    wire.send(type="subscribe", id="1", payload={"query": REFUSAL})
    assert (await wire.receive())["type"] == "error"
    await settled()
    assert wire.unread() == []


async def test_an_id_has_one_operation_also_while_it_is_executed(room: Room) -> None:
    wire = await room.admitted()
    room.desk.replies.clear()
    for _ in range(2):
        wire.send(type="subscribe", id="1", payload={"query": ANSWER})
    assert await wire.gone() == (4409, "Subscriber for 1 already exists")


@pytest.mark.parametrize("id", ["x", "x" * 200, "한" * 200, '"\\\n'])
async def test_an_id_comes_back_as_it_was_sent(room: Room, id: str) -> None:
    wire, member = await room.following(id)
    member.deliver(payload("text"))
    assert await wire.receive() == next_message(payload("text"), id)
    for document, type_ in ((ANSWER, "complete"), (REFUSAL, "error")):
        wire.send(type="complete", id=id)
        wire.send(type="subscribe", id=id, payload={"query": document})
        await settled()
        assert {message["id"] for message in wire.unread()} == {id}, type_


async def test_what_an_operation_asks_reaches_the_application(room: Room) -> None:
    wire = await room.admitted()
    for name, known in (("A", "A"), ("", None), (None, None)):
        asked = {"query": ANSWER, "variables": {"a": 1}, "operationName": name, "extensions": {}}
        wire.send(type="subscribe", id="1", payload=asked)
        await wire.receive()
        await wire.receive()
        request = room.desk.requests[-1]
        assert (request.query, request.variables, request.operation_name) == (ANSWER, {"a": 1}, known)


async def test_a_subscription_goes_on_from_its_cursor(room: Room) -> None:
    room.desk.after = "a cursor"
    await room.following()
    assert room.hub.afters == ["a cursor"]


async def test_an_operation_that_breaks_down_closes_with_1013(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    wire, member = await room.following()
    room.desk.failure = RuntimeError("a bug")
    wire.send(type="subscribe", id="2", payload={"query": ANSWER})
    assert await wire.gone() == (1013, "Try again later")
    assert room.hub.ended == [member]
    assert "cannot execute an operation" in caplog.text


# Leaving


async def hangs_up(room: Room, wire: Wire) -> None:
    wire.hang_up()


async def says_goodbye(room: Room, wire: Wire) -> None:
    wire.close_politely()


async def makes_a_mistake(room: Room, wire: Wire) -> None:
    wire.send(type="nonsense")


async def falls_silent(room: Room, wire: Wire) -> None:
    room.check(TIMES.silence + 1)


async def does_not_read(room: Room, wire: Wire) -> None:
    wire.block()
    wire.send(type="ping")
    await settled()
    room.check(SEND_SECONDS + 1)


async def does_not_read_the_close(room: Room, wire: Wire) -> None:
    wire.block()
    room.hub.members[-1].fail()
    await settled()
    room.check(SEND_SECONDS + 1)


async def reads_too_late(room: Room, wire: Wire) -> None:
    """Hangs up while a message is on its way."""
    wire.block()
    wire.send(type="ping")
    await settled()
    wire.hang_up()


async def is_forbidden(room: Room, wire: Wire) -> None:
    room.table.came[-1].forbid()


async def fails(room: Room, wire: Wire) -> None:
    room.hub.members[-1].fail()


async def is_shut_down(room: Room, wire: Wire) -> None:
    wire.protocol.shutdown()


async def is_cancelled(room: Room, wire: Wire) -> None:
    wire.cancel()


@pytest.mark.parametrize(
    "leave",
    [hangs_up, says_goodbye, makes_a_mistake, falls_silent, does_not_read, does_not_read_the_close, reads_too_late,
     is_forbidden, fails, is_shut_down, is_cancelled],
)  # fmt: skip
async def test_nothing_is_left_of_whoever_leaves(room: Room, leave: Callable[[Room, Wire], Awaitable[None]]) -> None:
    """However it happens: its place is free, its subscriptions have ended, what it asked for is given up, and none of
    its tasks goes on or has failed."""
    others = asyncio.all_tasks()
    wire, member = await room.following()
    room.desk.replies.clear()
    wire.send(type="subscribe", id="2", payload={"query": ANSWER})
    await settled()
    assert room.table.places() == CONNECTIONS_MAX - 1
    tasks = asyncio.all_tasks() - others
    await leave(room, wire)
    await wire.gone()
    await settled()
    assert room.table.places() == CONNECTIONS_MAX
    assert room.hub.ended == [member]
    assert room.desk.given_up == ["reply"]
    assert asyncio.all_tasks() == others
    assert [task for task in tasks if not task.cancelled() and task.exception() is not None] == []
