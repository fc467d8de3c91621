"""The names of operations as labels, and how counters and histograms count."""

from __future__ import annotations

from collections import Counter as Counts

import pytest

from callout.monitoring.operations import (
    ANONYMOUS,
    NAME_LENGTH_MAX,
    NAMES_MAX,
    NAMES_OF_ROLE,
    NAMES_OF_VIEWER,
    OTHER,
    OperationNames,
)
from db.enums import Role
from db.metrics import COUNTERS, HISTOGRAMS, Counter, Histogram
from db.viewer import Viewer


def viewer(id: str, role: Role = Role.ADMIN) -> Viewer:
    return Viewer(role, id, id)


def label(names: OperationNames, name: str | None, who: Viewer | None = None, *, executed: bool = True) -> str:
    return names.label(name, who or viewer("boss"), executed=executed)


def test_a_name_is_its_own_label_once_it_was_executed() -> None:
    names = OperationNames()
    assert label(names, "List", executed=False) == OTHER
    assert label(names, "List") == "List"
    assert label(names, "List", executed=False) == "List"
    assert label(names, None) == label(names, None, executed=False) == ANONYMOUS
    assert names.label("Unknown", None, executed=True) == OTHER


def test_each_viewer_adds_a_few_names_and_each_role_a_bounded_number() -> None:
    """So nobody is left out because all viewers of another role have invented names."""
    names = OperationNames()
    added = Counts[Role]()
    for role in Role:
        for person in range(10):
            who = viewer(str(person), role)
            invented = [f"{role}V{person}N{number}" for number in range(NAMES_OF_VIEWER[role] + 10)]
            labels = sum(label(names, name, who) == name for name in invented)
            assert labels == min(NAMES_OF_VIEWER[role], NAMES_OF_ROLE[role] - added[role])
            added[role] += labels
    assert added == NAMES_OF_ROLE
    assert added.total() == NAMES_MAX
    first = f"{Role.CUSTOMER}V0N0"
    assert label(names, first, viewer("another")) == first


def test_a_viewer_who_has_added_their_names_leaves_room_to_others() -> None:
    names = OperationNames()
    for number in range(100):
        label(names, f"N{number}", viewer("1", Role.CUSTOMER))
    assert label(names, "Mine", viewer("1", Role.CUSTOMER)) == OTHER
    assert label(names, "Mine", viewer("1", Role.TECHNICIAN)) == "Mine"


def test_long_names_have_no_label() -> None:
    names = OperationNames()
    assert label(names, "N" * NAME_LENGTH_MAX) == "N" * NAME_LENGTH_MAX
    assert label(names, "N" * (NAME_LENGTH_MAX + 1)) == OTHER


@pytest.fixture
def counter() -> Counter:
    made = Counter("callout_test", "A test.", ("kind",), known=[("a",)])
    COUNTERS.remove(made)
    return made


def test_counters_show_what_is_known_from_the_start(counter: Counter) -> None:
    assert counter.values == {("a",): 0}
    counter.add("b")
    counter.add("b", amount=2.5)
    assert counter.values == {("a",): 0, ("b",): 3.5}


def test_an_observation_falls_into_the_first_bucket_that_holds_it() -> None:
    histogram = Histogram("callout_test_seconds", "A test.", bounds=(1, 10))
    HISTOGRAMS.remove(histogram)
    for value in (0, 1, 1.5, 10, 10.5, 99):
        histogram.observe(value)
    (buckets,) = histogram.values.values()
    assert (buckets.counts, buckets.sum) == ([2, 2, 2], 122)


def test_metrics_have_the_names_that_prometheus_expects() -> None:
    declared: list[Counter | Histogram] = [*COUNTERS, *HISTOGRAMS]
    names = [each.name for each in declared]
    assert len(set(names)) == len(names)
    assert [name for name in names if not name.startswith("callout_") or name.endswith("_total")] == []
    units = [each.name.rpartition("_")[2] for each in HISTOGRAMS]
    assert set(units) <= {"seconds", "bytes", "events"}
    assert [each.name for each in declared if not each.help.endswith(".")] == []
