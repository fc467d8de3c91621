"""Filters evaluated in memory: true or false only if the database would decide the same, otherwise unknown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.entities import TICKETS
from db.enums import Role
from db.events.event import Entry, Event, Image
from db.lists.criteria import Slots
from db.lists.in_memory import Test, all_hold, any_holds, negated, undecided
from db.viewer import Viewer

KEY, OTHER = (f"00000000-0000-7000-8000-{number:012}" for number in range(2))
ADMIN = Viewer(Role.ADMIN, "boss", "The Boss")
TECHNICIAN = Viewer(Role.TECHNICIAN, KEY, "Tess")
CUSTOMER = Viewer(Role.CUSTOMER, OTHER, "Carl")
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)

NOTHING = Image(*[None] * len(Image._fields))  # type: ignore[arg-type]
OPEN = NOTHING._replace(id=KEY, status="OPEN", created_at=NOON, updated_at=NOON, public_updated_at=NOON - SECOND)


def evaluate(filter: dict[str, Any], image: Image, viewer: Viewer = ADMIN) -> bool | None:
    """Returns whether the filter matches the image, or None if only the database can decide."""
    slots = Slots()
    shape = TICKETS.criteria.read({"filter": filter}, slots)
    return TICKETS.criteria.test(shape, slots.values, viewer)(image)


def constant(value: bool | None) -> Test:
    return lambda image: value


@pytest.mark.parametrize(
    ("parts", "all_of_them", "one_of_them"),
    [
        ([], True, False),
        ([True, True], True, True),
        ([True, False], False, True),
        ([False, False], False, False),
        ([True, None], None, True),
        ([None, True], None, True),
        ([False, None], False, None),
        ([None, False], False, None),
        ([None, None], None, None),
    ],
)
def test_an_unknown_part_leaves_the_result_to_the_other_parts(
    parts: Sequence[bool | None], all_of_them: bool | None, one_of_them: bool | None
) -> None:
    tests = [constant(part) for part in parts]
    assert all_hold(tests)(OPEN) is all_of_them
    assert any_holds(tests)(OPEN) is one_of_them


def test_the_negation_of_an_unknown_result_is_unknown() -> None:
    assert [negated(constant(part))(OPEN) for part in (True, False, None)] == [False, True, None]
    assert negated(undecided)(OPEN) is None


@pytest.mark.parametrize(
    "filter",
    [
        {"status": ["OPEN"]},
        {"priority": ["LOW"]},
        {"category": ["CCTV"]},
        {"source": ["EMAIL"]},
        {"customerId": f"cus_{KEY}"},
        {"propertyId": f"prp_{KEY}"},
        {"assignee": {"technicianId": f"tec_{KEY}"}},
        {"assignee": {"unassigned": False}},
        {"createdAt": {"from": NOON}},
        {"updatedAt": {"until": NOON}},
    ],
)
def test_a_null_column_fulfils_only_negated_conditions(filter: dict[str, Any]) -> None:
    assert evaluate(filter, NOTHING) is False
    assert evaluate({"not": filter}, NOTHING) is True


def test_a_span_includes_its_start_and_not_its_end() -> None:
    spans = [({"from": NOON}, True), ({"from": NOON + SECOND}, False), ({"until": NOON}, False)]
    spans += [({"until": NOON + SECOND}, True), ({"from": NOON, "until": NOON}, False), ({}, True)]
    for span, matches in spans:
        assert evaluate({"createdAt": span}, OPEN) is matches, span


def test_an_updates_time_depends_on_the_viewers_role() -> None:
    for viewer, matches in ((ADMIN, True), (TECHNICIAN, True), (CUSTOMER, False)):
        assert evaluate({"updatedAt": {"from": NOON}}, OPEN, viewer) is matches


def test_me_matches_only_tickets_of_a_technician() -> None:
    mine = OPEN._replace(technician_id=KEY)
    for viewer, image, matches in ((TECHNICIAN, mine, True), (TECHNICIAN, OPEN, False), (ADMIN, mine, False)):
        assert evaluate({"assignee": {"me": True}}, image, viewer) is matches
        assert evaluate({"assignee": {"me": False}}, image, viewer) is not matches


def test_the_database_decides_who_is_inactive_and_only_staff_may_know() -> None:
    theirs = OPEN._replace(technician_id=KEY)
    for viewer, image, matches in (
        (ADMIN, theirs, None),
        (TECHNICIAN, theirs, None),
        (ADMIN, OPEN, False),
        (CUSTOMER, theirs, False),
        (CUSTOMER, OPEN, False),
    ):
        assert evaluate({"assignee": {"inactive": True}}, image, viewer) is matches
        negation = None if matches is None else not matches
        assert evaluate({"assignee": {"inactive": False}}, image, viewer) is negation


def test_a_search_is_unknown_unless_the_other_conditions_decide() -> None:
    search = {"search": "siren"}
    assert evaluate(search, OPEN) is None
    assert evaluate({"not": search}, OPEN) is None
    assert evaluate({"status": ["CLOSED"], **search}, OPEN) is False
    assert evaluate({"or": [{"status": ["OPEN"]}, search]}, OPEN) is True
    assert evaluate({"not": {"or": [{"status": ["OPEN"]}, search]}}, OPEN) is False


def test_an_event_is_routed_by_both_of_its_images() -> None:
    before, after = OPEN._replace(technician_id=KEY, creator_id="boss"), OPEN._replace(creator_id="boss")
    ids = {"all", f"ticket:{OTHER}", "creator:boss"}
    assert Event(KEY, OTHER, "CREATED", True, None, after, 1).routes == ids
    assert Event(KEY, OTHER, "UNASSIGNED", True, before, after, 2).routes == {*ids, f"technician:{KEY}"}
    moved = Event(KEY, OTHER, "UPDATED", True, after, after._replace(customer_id=OTHER), 3)
    assert moved.routes == {*ids, f"customer:{OTHER}"}


def test_an_entry_has_the_routes_of_the_objects_that_it_changes() -> None:
    """A look-up changes nothing, a token's subject may look like an object's id, and an identity is not a property."""

    def routes(kind: str, action: str, id: str, owner: str | None = None, *published: bool | None) -> set[str]:
        return set(Entry.of(KEY, "2026-03-01T12:00:00+00:00", kind, action, id, owner, *published).routes) - {"audit"}

    assert routes("CUSTOMER", "UPDATED", "cus_1") == {"object:CUSTOMER", "object:cus_1"}
    assert routes("CUSTOMER", "LOOKED_UP", "cus_1") == routes("TOKEN", "REVOKED", "cus_1") == set()
    assert routes("TOKEN", "CREATED", "cus_1") == routes("IDENTITY", "CREATED", "idn_1", OTHER) == set()
    assert routes("PROPERTY", "CREATED", "prp_1", OTHER) == {"object:PROPERTY", "object:prp_1", f"owner:{OTHER}"}
    drafted = {"object:ARTICLE", "object:art_1"}
    assert routes("ARTICLE", "UPDATED", "art_1", None, False, False) == drafted
    assert routes("ARTICLE", "UPDATED", "art_1", None, True, False) == {*drafted, "published"}
    assert routes("ARTICLE", "CREATED", "art_1", None, None, True) == {*drafted, "published"}
