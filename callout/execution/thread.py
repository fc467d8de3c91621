"""The thread for work that would hold up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Thread:
    """Runs functions one after another. There is one for each process: each thread that is busy makes the event loop
    wait five milliseconds longer for its turn."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "preparing")

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
