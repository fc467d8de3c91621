"""Quotas: what one viewer may take of a process' live layer, over all connections."""

from __future__ import annotations

import sys
from asyncio import Semaphore
from collections import Counter
from collections.abc import Hashable
from typing import Final, Self

from db.errors import LimitExceeded

SUBSCRIPTIONS_MAX: Final = 300
DIFFERENT_MAX: Final = 100
REPLAYS_AT_ONCE: Final = 1
LOOKUPS_AT_ONCE: Final = 2


class Quota:
    """One viewer's subscriptions: at most `SUBSCRIPTIONS_MAX`, of which `DIFFERENT_MAX` may differ in what they get.
    `replays` is held during a look-up for a replay, and `lookups` while the database is asked for messages, so that
    other viewers' messages need not wait for all of these."""

    __slots__ = ("_different", "_keys", "_most", "lookups", "replays", "subscriptions")

    def __init__(
        self,
        most: int = SUBSCRIPTIONS_MAX,
        different: int = DIFFERENT_MAX,
        replays: int = REPLAYS_AT_ONCE,
        lookups: int = LOOKUPS_AT_ONCE,
    ) -> None:
        self.subscriptions = 0
        self.replays = Semaphore(replays)
        self.lookups = Semaphore(lookups)
        self._most = most
        self._different = different
        self._keys: Counter[Hashable] = Counter()

    @classmethod
    def unlimited(cls) -> Self:
        return cls(sys.maxsize, sys.maxsize, sys.maxsize, sys.maxsize)

    def check(self, key: Hashable) -> None:
        """Raises `LimitExceeded` if a subscription to the feed with this key would be one too many."""
        if self.subscriptions >= self._most:
            raise LimitExceeded(f"You have {self._most} subscriptions, which is the most. End some of them.")
        if key not in self._keys and len(self._keys) >= self._different:
            raise LimitExceeded(
                f"You have {self._different} different subscriptions, which is the most. End some of them."
            )

    def enter(self, key: Hashable) -> None:
        self.subscriptions += 1
        self._keys[key] += 1

    def leave(self, key: Hashable) -> None:
        self.subscriptions -= 1
        self._keys[key] -= 1
        if not self._keys[key]:
            del self._keys[key]
