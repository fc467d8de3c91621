"""How often addresses may be confirmed: by each client address, and by all together.

The page needs no login, and each well-formed token is looked up in the database. So attempts are paid with points like
requests (`callout/execution/budgets.py`), also in the memory of each process.
"""

from __future__ import annotations

from typing import Final

from callout.execution.budgets import Bucket
from callout.http.client_address import network_of, parsed

PER_CLIENT: Final = 100.0
OVERALL: Final = 6_000.0
"""Points a minute."""

RIGHT: Final = 1.0
WRONG: Final = 5.0

_SWEPT_FROM: Final = 1_000  # clients


class ConfirmAttempts:
    """The points that are left for attempts to confirm an address. `now` is the monotonic clock's time."""

    def __init__(self, now: float) -> None:
        self._overall = Bucket(OVERALL, now)
        self._of: dict[bytes, Bucket] = {}
        self._swept_from = _SWEPT_FROM

    def begin(self, client: str | None, now: float) -> float:
        """Takes the points of a wrong attempt, so that many at once cannot pass before the first of them is known to be
        wrong. Returns 0, or the seconds to wait if the points are lacking; then it takes none. A client without an
        address, as on a Unix socket, shares only what all have."""
        buckets = self._buckets(client, now)
        wait = max(bucket.wait(WRONG, now) for bucket in buckets)
        if not wait:
            for bucket in buckets:
                bucket.take(WRONG, now)
        return wait

    def was_right(self, client: str | None, now: float) -> None:
        """Gives back what a right attempt costs less than a wrong one."""
        for bucket in self._buckets(client, now):
            bucket.give_back(WRONG - RIGHT, now)

    def was_no_look_up(self, client: str | None, now: float) -> None:
        """Gives back what a wrong attempt has taken from all, so that wrong ones lock out only their own client. One
        without an address has no points but those."""
        if self._buckets(client, now) != [self._overall]:
            self._overall.give_back(WRONG, now)

    def _buckets(self, client: str | None, now: float) -> list[Bucket]:
        address = None if client is None else parsed(client)
        if address is None:
            return [self._overall]
        network = network_of(address)
        bucket = self._of.get(network)
        if bucket is not None:
            return [bucket, self._overall]
        bucket = Bucket(PER_CLIENT, now)
        if not self._overall.wait(WRONG, now):  # so the points of all bound how many are remembered
            self._sweep(now)
            self._of[network] = bucket
        return [bucket, self._overall]

    def _sweep(self, now: float) -> None:
        """Forgets whole buckets: a new one is the same."""
        if len(self._of) >= self._swept_from:
            self._of = {key: bucket for key, bucket in self._of.items() if bucket.points(now) < bucket.capacity}
            self._swept_from = max(_SWEPT_FROM, 2 * len(self._of))
