"""Budgets: what each viewer may take of a process, so that nobody takes what is the others'.

A viewer has points, which refill evenly and are spent on requests (`cost.py` has the prices); some connections of the
pool at a time, for which their own requests wait in turn; and a share of the live layer (`pubsub/quota.py`). Budgets
are in the memory of a process: with several, a viewer has one in each (`docs/decisions/budgets.md`).
"""

from __future__ import annotations

import asyncio
import random
import sys
from asyncio import Semaphore
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from time import monotonic
from types import TracebackType
from typing import Any, Final

from db.enums import Role
from db.errors import LimitExceeded, RateLimited
from db.metrics import Counter
from db.viewer import Viewer
from pubsub.quota import Quota

REQUESTS_MAX: Final = 300
"""The most requests of a viewer that are executed or wait for their turn: as many as subscriptions, which a client that
returns asks for at once."""

HELD_SECONDS: Final = 0.5

MINUTE: Final = 60.0

_REFUSED: Final = Counter(
    "callout_budget_refusals",
    "Requests that their viewer's budget did not allow: points were lacking now, there are never as many, or too many"
    " requests were under way.",
    ("reason",),
    known=[("points",), ("too_expensive",), ("requests",)],
)
_SWEPT_FROM = 1_000  # budgets


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a viewer of a role may take: `points` a minute, and `at_once` statements at a time, each of which holds a
    connection of the pool. Unless `limited`, they may have any number of requests and subscriptions."""

    points: float
    at_once: int
    limited: bool = True


UNLIMITED: Final = Allowance(1e9, 1_000, limited=False)
"""More than a process can do."""


class Bucket:
    """A token bucket. It holds up to `capacity` points, and is refilled evenly, from empty to full in a minute."""

    __slots__ = ("_at", "_points", "_rate", "capacity")

    def __init__(self, capacity: float, now: float) -> None:
        """`now` is the monotonic clock's time, here and below."""
        self.capacity = capacity
        self._rate = capacity / MINUTE
        self._points = capacity
        self._at = now

    def points(self, now: float) -> float:
        """The points that there are; below 0 after `owe`."""
        points = self._points + (now - self._at) * self._rate
        return points if points < self.capacity else self.capacity

    def take(self, points: float, now: float) -> bool:
        """Takes the points if there are as many; otherwise takes none."""
        left = self.points(now) - points
        if left < 0:
            return False
        self._points, self._at = left, now
        return True

    def owe(self, points: float, now: float) -> None:
        """Takes the points even if there are not as many; the bucket owes at most its capacity."""
        self._points, self._at = max(-self.capacity, self.points(now) - points), now

    def give_back(self, points: float, now: float) -> None:
        """Puts back points that were taken."""
        self._points, self._at = min(self.capacity, self.points(now) + points), now

    def wait(self, points: float, now: float) -> float:
        """The seconds until there are as many points; 0 if there are."""
        return max(0.0, (points - self.points(now)) / self._rate)


class Budget:
    """The budget of one viewer."""

    __slots__ = ("bucket", "building", "live", "most_requests", "requests", "statements")

    def __init__(self, allowance: Allowance) -> None:
        self.bucket = Bucket(allowance.points, monotonic())
        self.requests = 0
        """How many requests are executed or wait."""
        self.most_requests = REQUESTS_MAX if allowance.limited else sys.maxsize
        self.statements = Semaphore(allowance.at_once)
        """Held while a statement or a mutation uses connections of the pool. Waiting requests get it in turn."""
        self.building = Semaphore(1)
        """Held while a document is read or statements are built."""
        self.live = Quota() if allowance.limited else Quota.unlimited()

    def request(self) -> Charge:
        """A request that begins: `with budget.request() as charge`. Raises `RateLimited` on entering if the viewer has
        `REQUESTS_MAX` others."""
        return Charge(self)

    def owe(self, points: float) -> None:
        """Takes points for what cannot be refused any more."""
        self.bucket.owe(points, monotonic())

    @property
    def overdrawn(self) -> float:
        """The seconds until nothing is owed any more."""
        return self.bucket.wait(0.0, monotonic())

    def is_untouched(self) -> bool:
        """Whether the budget is as good as a new one."""
        idle = not (self.requests or self.live.subscriptions)
        return idle and self.bucket.points(monotonic()) == self.bucket.capacity


class Charge:
    """One request of a viewer: the points that it has cost so far, and the budget that they are taken from."""

    __slots__ = ("budget", "requested")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.requested = 0.0

    def __enter__(self) -> Charge:
        budget = self.budget
        if budget.requests >= budget.most_requests:
            _REFUSED.add("requests")
            raise RateLimited(f"{budget.requests} of your requests are not answered yet. Wait for their answers.", 1)
        budget.requests += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.budget.requests -= 1

    def spend(self, points: float) -> None:
        """Takes the points. Raises `RateLimited` if there are not enough now, and `LimitExceeded` if there never
        are."""
        if not self.budget.bucket.take(points, monotonic()):
            raise _refusal(points, self.budget.bucket)
        self.requested += points

    def owe(self, points: float) -> None:
        """Takes points for what cannot be refused any more."""
        self.budget.owe(points)
        self.requested += points

    def shown(self) -> dict[str, Any]:
        """The `extensions.cost` of the response: what the request has cost, what is left, and when the budget is whole
        again if nothing more is spent."""
        bucket, now = self.budget.bucket, monotonic()
        reset = datetime.now(UTC) + timedelta(seconds=bucket.wait(bucket.capacity, now))
        return {
            "requested": round(self.requested, 1),
            "remaining": round(max(0.0, bucket.points(now)), 1),
            "resetAt": reset.isoformat(timespec="microseconds"),
        }


async def hold_back() -> None:
    """Waits before a refusal with `RATE_LIMITED` is sent, for `HELD_SECONDS` on average, so that those of thousands of
    requests do not fall together. A client that sends its next request at once then takes next to nothing, and one that
    waits as it should loses nothing."""
    await asyncio.sleep(HELD_SECONDS * random.uniform(0.5, 1.5))


def _refusal(points: float, bucket: Bucket) -> LimitExceeded | RateLimited:
    capacity, now = bucket.capacity, monotonic()
    _REFUSED.add("too_expensive" if points > capacity else "points")
    if points > capacity:
        return LimitExceeded(
            f"The request costs {points:,.0f} points or more; you have {capacity:,.0f} a minute. Ask for less."
        )
    left, wait = max(0.0, bucket.points(now)), bucket.wait(points, now)
    return RateLimited(
        f"The request needs {points:,.0f} more points, and {left:,.0f} of your {capacity:,.0f} a minute are left."
        f" Try again in {ceil(wait):,} s.",
        wait,
    )


class Budgets:
    """The budgets of all viewers; one for each process. One that is whole and idle is forgotten: a new one is the
    same."""

    def __init__(self, allowances: Mapping[Role, Allowance]) -> None:
        self._allowances = allowances
        self._of: dict[tuple[Role, str], Budget] = {}
        self._swept_from = _SWEPT_FROM

    def of(self, viewer: Viewer) -> Budget:
        budget = self._of.get((viewer.role, viewer.id))
        return self._opened(viewer) if budget is None else budget

    def _opened(self, viewer: Viewer) -> Budget:
        if len(self._of) >= self._swept_from:
            self._of = {key: budget for key, budget in self._of.items() if not budget.is_untouched()}
            self._swept_from = max(_SWEPT_FROM, 2 * len(self._of))
        budget = self._of[viewer.role, viewer.id] = Budget(self._allowances[viewer.role])
        return budget
