"""The send queue of one client: its limits, its order, and waiting for it."""

from __future__ import annotations

import asyncio
import time

import pytest

from pubsub.send_queue import QUEUE_BYTES_MAX, QUEUE_MAX, SEND_SECONDS, SendQueue

HALF = b"x" * (QUEUE_BYTES_MAX // 2)


@pytest.fixture
async def queue() -> SendQueue:
    return SendQueue()


async def turn() -> None:
    """Lets all runnable tasks run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_messages_leave_in_order(queue: SendQueue) -> None:
    messages = [b"%d" % number for number in range(5)]
    assert all(queue.put(message) for message in messages)
    assert len(queue) == 5
    assert [queue.take() for _ in messages] == messages
    assert len(queue) == 0


async def test_the_number_of_messages_is_limited(queue: SendQueue) -> None:
    assert all(queue.put(b"%d" % number) for number in range(QUEUE_MAX))
    assert not queue.put(b"one too many")
    assert queue.take() == b"0"
    assert queue.put(b"last")
    assert not queue.put(b"one too many")
    assert [queue.take() for _ in range(len(queue))][-1] == b"last"


async def test_the_number_of_bytes_is_limited(queue: SendQueue) -> None:
    assert queue.put(HALF) and queue.put(HALF)
    assert not queue.put(b"x")
    assert len(queue) == 2


async def test_messages_that_have_left_do_not_count(queue: SendQueue) -> None:
    """However often the queue was filled and emptied."""
    for _ in range(3):
        assert queue.put(HALF) and queue.put(HALF)
        assert queue.take() == HALF
        assert queue.put(HALF) and not queue.put(b"x")
        assert queue.take() == queue.take() == HALF


async def test_refused_messages_do_not_count(queue: SendQueue) -> None:
    assert queue.put(HALF)
    assert not queue.put(HALF + b"x")
    assert queue.put(HALF)


async def test_a_cleared_queue_is_empty(queue: SendQueue) -> None:
    assert queue.put(HALF) and queue.put(HALF)
    queue.clear()
    assert len(queue) == 0
    assert queue.put(HALF) and queue.put(HALF)


async def test_a_message_larger_than_the_queue_is_accepted_alone(queue: SendQueue) -> None:
    large = HALF * 3
    assert queue.put(large)
    assert not queue.put(b"")
    assert queue.take() == large
    assert queue.put(b"small")
    assert not queue.put(large)


async def test_a_queue_is_stalled_while_a_send_does_not_end(queue: SendQueue) -> None:
    def later(seconds: float) -> float:
        return time.monotonic() + seconds

    assert not queue.stalled(later(1_000_000))
    for _ in range(2):
        left = asyncio.Event()
        begun = later(0)
        sending = asyncio.create_task(queue.sent(_left(left)))
        await turn()
        assert not queue.stalled(begun + SEND_SECONDS)
        assert queue.stalled(later(SEND_SECONDS + 1))
        left.set()
        await sending
        assert not queue.stalled(later(1_000_000))


async def _left(left: asyncio.Event) -> None:
    await left.wait()


async def test_the_writer_waits_for_a_message(queue: SendQueue) -> None:
    """It is not woken by a message that it has already taken."""
    queue.put(b"none")
    queue.take()
    for message in (b"one", b"two"):
        writer = asyncio.create_task(queue.filled())
        await turn()
        assert not writer.done()
        queue.put(message)
        await asyncio.wait_for(writer, 1)
        assert queue.take() == message


async def test_the_writer_can_be_woken_without_a_message(queue: SendQueue) -> None:
    writer = asyncio.create_task(queue.filled())
    await turn()
    queue.wake()
    await asyncio.wait_for(writer, 1)
    assert len(queue) == 0


async def test_a_queue_is_resting_only_while_its_writer_waits(queue: SendQueue) -> None:
    """Otherwise a message written past the queue could overtake a queued one."""
    rested = [queue.resting]
    for wake in (queue.wake, lambda: queue.put(b"a message")):
        writer = asyncio.create_task(queue.filled())
        await turn()
        rested.append(queue.resting)
        wake()
        rested.append(queue.resting)
        await asyncio.wait_for(writer, 1)
        rested.append(queue.resting)
    assert rested == [False, True, False, False, True, False, False]


async def test_an_empty_queue_is_drained(queue: SendQueue) -> None:
    await asyncio.wait_for(queue.drained(), 1)
    queue.put(b"a message")
    queue.take()
    await asyncio.wait_for(queue.drained(), 1)


async def test_all_tasks_waiting_for_a_queue_to_drain_continue_once_it_is_empty(queue: SendQueue) -> None:
    """Also the second time, and not before both messages have left."""
    for _ in range(2):
        queue.put(b"one")
        queue.put(b"two")
        waiting = [asyncio.create_task(queue.drained()) for _ in range(2)]
        await turn()
        queue.take()
        await turn()
        assert not any(each.done() for each in waiting)
        queue.take()
        writer = asyncio.create_task(queue.filled())
        await asyncio.wait_for(asyncio.gather(*waiting), 1)
        writer.cancel()


async def test_waiting_for_a_queue_to_drain_includes_messages_added_meanwhile(queue: SendQueue) -> None:
    queue.put(b"one")
    waiting = asyncio.create_task(queue.drained())
    await turn()
    queue.take()
    writer = asyncio.create_task(queue.filled())
    asyncio.get_running_loop().call_soon(queue.put, b"two")  # before the waiting task runs
    await turn()
    assert writer.done() and not waiting.done()
    queue.take()
    writer = asyncio.create_task(queue.filled())
    await asyncio.wait_for(waiting, 1)
    writer.cancel()
