"""Counters and histograms, which the code of any room adds to and `/metrics` shows.

Adding to one takes a fifth of a microsecond, as it is a look-up in a dictionary. Those of prometheus_client take seven
times as long, and importing it 60 ms, which each message that `callout mail-in` receives would pay. So this module only
counts; `callout/monitoring/exposition.py` has prometheus_client write the text.

Only the thread of the event loop may add. The numbers of labels' values are bounded by those who add.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

Labels: TypeAlias = tuple[str, ...]

FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets, in seconds, for what takes milliseconds."""

SLOW: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Buckets, in seconds, for what waits for others."""


class Counter:
    """A number of things that have happened, for each combination of labels."""

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), known: Iterable[Labels] = ()) -> None:
        """`name` begins with `callout_`, and does not have the suffix `_total`. Combinations of labels that are `known`
        are shown from the start, as 0: of one that appears with its first event, Prometheus sees no increase."""
        self.name, self.help, self.labels = name, help, tuple(labels)
        self.values: dict[Labels, float] = dict.fromkeys(known if labels else ((),), 0)
        COUNTERS.append(self)

    def add(self, *labels: str, amount: float = 1) -> None:
        self.values[labels] = self.values.get(labels, 0) + amount


class Buckets:
    """The observations of one combination of labels: how many fell into each bucket, and their sum. The last count is
    of those above all bounds."""

    __slots__ = ("counts", "sum")

    def __init__(self, bounds: int) -> None:
        self.counts = [0] * (bounds + 1)
        self.sum = 0.0


class Histogram:
    """How large observed values were, for each combination of labels."""

    def __init__(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float] = FAST,
        known: Iterable[Labels] = (),
    ) -> None:
        """`name` begins with `callout_` and ends with the unit; `bounds` are the upper bounds of the buckets, in
        order. `known` is as for a `Counter`."""
        self.name, self.help, self.labels, self.bounds = name, help, tuple(labels), tuple(bounds)
        self.values: dict[Labels, Buckets] = {each: Buckets(len(bounds)) for each in (known if labels else ((),))}
        HISTOGRAMS.append(self)

    def observe(self, value: float, *labels: str) -> None:
        buckets = self.values.get(labels)
        if buckets is None:
            buckets = self.values[labels] = Buckets(len(self.bounds))
        buckets.counts[bisect_left(self.bounds, value)] += 1
        buckets.sum += value


COUNTERS: Final[list[Counter]] = []
HISTOGRAMS: Final[list[Histogram]] = []
"""All that the imported modules declare."""
