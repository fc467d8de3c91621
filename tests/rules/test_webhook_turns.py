"""The turns in which webhooks read the database: nobody's slow ones hold up those of others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from callout.webhooks.turns import Turns


class Readers:
    """Look-ups that last until they are let go, by the names of their authors."""

    def __init__(self, at_once: int) -> None:
        self._turns = Turns(at_once)
        self._ends: dict[str, list[asyncio.Event]] = {}
        self.order: list[str] = []

    def start(self, author: str) -> asyncio.Task[None]:
        async def read() -> None:
            async with self._turns.of(author):
                self.order.append(author)
                end = asyncio.Event()
                self._ends.setdefault(author, []).append(end)
                await end.wait()

        return asyncio.create_task(read())

    def end(self, author: str) -> None:
        self._ends[author].pop(0).set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_author_with_many_slow_webhooks_holds_up_none_of_another_author() -> None:
    readers = Readers(3)
    slow = [readers.start("slow") for _ in range(20)]
    await settled()
    quick = readers.start("quick")
    await readers.until(lambda: "quick" in readers.order)
    assert readers.order == ["slow", "slow", "quick"]
    for task in (*slow, quick):
        task.cancel()
    await asyncio.gather(*slow, quick, return_exceptions=True)


async def test_authors_take_turns_however_many_webhooks_they_have() -> None:
    readers = Readers(1)
    tasks = [readers.start(author) for author in ("a", "a", "a", "b", "c", "b")]
    for number in range(1, 7):
        await readers.until(lambda number=number: len(readers.order) == number)  # type: ignore[misc]
        readers.end(readers.order[-1])
    await asyncio.gather(*tasks)
    assert readers.order == ["a", "a", "b", "c", "a", "b"]  # when the first one begins, only its author is there


async def test_who_gives_up_waiting_or_reading_leaves_the_turn_to_others() -> None:
    readers = Readers(1)
    reading, waiting, next_one = readers.start("a"), readers.start("b"), readers.start("b")
    await readers.until(lambda: readers.order == ["a"])
    waiting.cancel()
    await settled()
    reading.cancel()
    waiting_again = readers.start("c")
    await readers.until(lambda: readers.order == ["a", "b"])
    next_one.cancel()
    await readers.until(lambda: readers.order == ["a", "b", "c"])
    waiting_again.cancel()
    await asyncio.gather(reading, waiting, next_one, waiting_again, return_exceptions=True)
