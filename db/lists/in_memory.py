"""Conditions as tests in memory, of a ticket's image before or after an event.

They only rule out streams, to save database work. The SQL of the same criterion decides about all others. So a test has
three answers: true and false only where the SQL would say the same, and None where the database alone can say it. The
conditions of a filter are never null: a criterion counts as false for a null column, also inside `not`
(`Criteria.build`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from db.events.event import Image

Test: TypeAlias = Callable[[Image], bool | None]


def undecided(image: Image) -> None:
    """The test of a condition that the database alone can decide."""


def all_hold(tests: Sequence[Test]) -> Test:
    def test(image: Image) -> bool | None:
        result: bool | None = True
        for each in tests:
            held = each(image)
            if held is False:
                return False
            if held is None:
                result = None
        return result

    return test


def any_holds(tests: Sequence[Test]) -> Test:
    return negated(all_hold([negated(test) for test in tests]))


def negated(test: Test) -> Test:
    def negation(image: Image) -> bool | None:
        held = test(image)
        return None if held is None else not held

    return negation
