"""The caches between requests: entries are found only by equal requests, their size is limited, those that were used
least recently are evicted, and evicted entries are rebuilt."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from sys import getsizeof
from typing import Any

import orjson
import pytest

from callout.execution import documents, prepare
from callout.execution.cost import OBJECTS_MAX, VALUES_MAX, Cost
from callout.execution.documents import BYTES_PER_TOKEN, KEPT_LENGTH, TEXTS, Document, Documents, InvalidDocument
from callout.execution.prepare import EVENTS_MAX, Preparer
from callout.execution.run import Engine
from callout.execution.thread import Thread
from callout.live import feeds as subscriptions
from callout.live.feeds import Feeds
from callout.live.screening import Screenings
from db.compiler.selection import Weight
from db.enums import Role
from db.errors import LimitExceeded
from db.events.stream_cursor import StreamCursors
from db.lists.page import PageShape
from db.postgres.pool import Database
from db.viewer import Viewer
from notifiers.message_ids import OwnMail
from pubsub.feed import Feed
from resolvers.mutation import Peer
from schema import graphql_schema, schema
from tests.helpers.attached_files import files_in, some_links, unsigned
from tests.helpers.budgets import free_budget, free_charge
from tests.helpers.connecting import NO_PRESENCE
from tests.helpers.database_checks import Database as Connection
from tests.helpers.database_checks import until_blocked, write_ticket

ADMIN = Viewer(Role.ADMIN, "boss", "The Boss")
ADMIN_2 = Viewer(Role.ADMIN, "other", "Another Boss")
SERVICE = Viewer(Role.SERVICE, "chatbot", "Chatbot")
SERVICE_2 = Viewer(Role.SERVICE, "robot", "Robot")
PEOPLE = [f"00000000-0000-7000-8000-{number:012}" for number in range(2)]
TICKETS = [f"tkt_00000000-0000-7000-8000-{number:012}" for number in range(2)]


@pytest.fixture(scope="module")
async def pool(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url)
    yield database
    await database.close()


@dataclass(frozen=True)
class Execution:
    preparer: Preparer
    engine: Engine


def execution_with(pool: Database) -> Execution:
    preparer = Preparer(graphql_schema(schema))
    return Execution(preparer, engine_with(preparer, pool))


def engine_with(preparer: Preparer, pool: Database, written: Callable[[], None] = lambda: None) -> Engine:
    own_mail, files = OwnMail(frozenset(), "example.com"), files_in(Path("/nowhere"))
    return Engine(schema, preparer, pool, StreamCursors("a log"), {}, own_mail, files, some_links(), written)


@pytest.fixture
def execution(pool: Database) -> Execution:
    return execution_with(pool)


async def ask(
    execution: Execution, query: str, viewer: Viewer = ADMIN, name: str | None = None, /, **given: Any
) -> Any:
    document, node = execution.preparer.operation(query, name)
    answer = await execution.engine.execute(document, node, given, viewer, "a request", Peer(), free_charge())
    return orjson.loads(answer.body)


# Documents


def numbered(number: int) -> str:
    return f"{{ a{number}: __typename }}"


def test_recently_used_documents_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "KEPT_BYTES", 3 * (TEXTS * getsizeof(numbered(0)) + 5 * BYTES_PER_TOKEN))
    kept = Documents(graphql_schema(schema), Thread())
    first = [kept.get(numbered(number)) for number in range(3)]
    assert [kept.get(numbered(number)) for number in (2, 1, 0)] == first[::-1]  # nothing is evicted at the limit
    kept.get(numbered(3))
    assert [kept.get(numbered(number)) for number in (0, 1)] == first[:2]
    again = kept.get(numbered(2))
    assert again is not first[2]
    assert (again.text, list(again.operations)) == (first[2].text, [None])
    for number in range(10):
        kept.get(numbered(number))
        assert len(kept._kept) == 3
    kept.get("{ a: __typename b: __typename c: __typename d: __typename }")
    assert len(kept._kept) == 1  # nearly as large as three others


LARGE = {
    "many fields": "{ tickets { nodes { " + " ".join(f"a{n}: id" for n in range(600)) + " } } }",
    "many lists": "{ " + " ".join(f"a{n}: tickets {{ nodes {{ customer {{ id }} }} }}" for n in range(95)) + " }",
    "many values": "{ tickets(filter: {status: [" + "OPEN " * 1_900 + "]}) { totalCount } }",
    "many operations": " ".join(f"query a{n} {{ __typename }}" for n in range(330)),
    "many comments": "{ __typename }" + "#\n" * 1_900,
    "wide characters": '{ ticket(by: {reference: "' + "\U0001f600" * 19_000 + '"}) { id } }',
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_a_document_takes_no_more_memory_than_it_counts(text: str) -> None:
    kept = Documents(graphql_schema(schema), Thread())
    kept.get(text + " #")
    gc.collect()
    tracemalloc.start()
    try:
        document = kept.get(text + " ##")
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.3 < taken / kept._kept.getsizeof(document) <= 1, taken


async def test_what_is_made_from_a_document_goes_with_it(pool: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these entries refers to the document, which would stay in memory without being counted."""
    monkeypatch.setattr(documents, "KEPT_BYTES", 20_000)
    execution = execution_with(pool)
    caches = (execution.preparer._variants, execution.preparer._statements, execution.preparer._requests)
    for n in range(5):
        assert await ask(execution, FIRST, n=n + 1) == NONE
    assert [len(cache) > 0 for cache in caches] == [True, True, True]
    for number in range(10):
        await ask(execution, numbered(number))
    assert {operation.document.text for operation, *_ in execution.preparer._variants} == set(
        execution.preparer._documents._kept
    )
    assert FIRST not in execution.preparer._documents._kept


async def test_nothing_is_kept_of_a_document_that_is_not(execution: Execution) -> None:
    preparer = execution.preparer
    for _ in range(2):
        assert await ask(execution, FIRST.ljust(KEPT_LENGTH + 1), n=1) == NONE
    assert not (preparer._variants or preparer._statements or preparer._requests)


def test_a_long_document_is_not_cached() -> None:
    kept = Documents(graphql_schema(schema), Thread())

    def get(length: int) -> Document:
        return kept.get("{ __typename }".ljust(length))

    assert get(KEPT_LENGTH) is get(KEPT_LENGTH)
    assert get(KEPT_LENGTH + 1) is not get(KEPT_LENGTH + 1)


def test_a_refused_document_is_not_cached() -> None:
    kept = Documents(graphql_schema(schema), Thread())
    for _ in range(2):
        with pytest.raises(InvalidDocument):
            kept.get("{ nothing }")
        with pytest.raises(LimitExceeded):
            kept.get("{ " + "__typename " * 101 + "}")
    assert not kept._kept


async def test_each_operation_of_a_document_is_prepared_separately(execution: Execution) -> None:
    document = "query A { me { role } } query B { me { name } } query C { __schema { queryType { name } } }"
    for _ in range(2):
        assert await ask(execution, document, ADMIN, "A") == {"data": {"me": {"role": "ADMIN"}}}
        assert await ask(execution, document, ADMIN, "B") == {"data": {"me": {"name": "The Boss"}}}
        assert await ask(execution, document, ADMIN, "C") == {"data": {"__schema": {"queryType": {"name": "Query"}}}}


# Requests


FIRST = "query($n: Int) { tickets(first: $n) { totalCount } }"
NONE = {"data": {"tickets": {"totalCount": 0}}}


def sizes(execution: Execution) -> set[int]:
    """Returns the variable `n` of all cached requests. It reads the keys only, as reading a value counts as a use."""
    return {orjson.loads(key[2])["n"] for key in execution.preparer._requests}


async def test_recently_used_requests_are_cached(pool: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_REQUEST_BYTES", 3 * prepare._BYTES_PER_ROOT)
    execution = execution_with(pool)
    for n in (1, 2, 3):
        assert await ask(execution, FIRST, n=n) == NONE
        assert len(execution.preparer._requests) == n
    assert await ask(execution, FIRST, n=1) == NONE
    assert sizes(execution) == {1, 2, 3}
    for n, kept in ((4, {1, 3, 4}), (3, {1, 3, 4}), (5, {3, 4, 5}), (6, {3, 5, 6}), (1, {1, 5, 6}), (1, {1, 5, 6})):
        assert await ask(execution, FIRST, n=n) == NONE
        assert sizes(execution) == kept


async def test_an_equal_request_is_read_once(execution: Execution) -> None:
    document, node = execution.preparer.operation(FIRST, None)
    operation = execution.preparer.prepared(document, node)
    assert operation is not None
    one, again, other = (execution.preparer.bind(operation, {"n": n}, ADMIN)[0].read for n in (1, 1, 2))
    assert one is again is not other


async def test_a_request_counts_by_its_root_fields(pool: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_REQUEST_BYTES", 3 * prepare._BYTES_PER_ROOT)
    execution = execution_with(pool)
    for fields, kept in ((1, 1), (2, 2), (3, 1), (4, 1)):  # the last one is larger than the cache
        names = [f"a{fields}{number}" for number in range(fields)]
        document = "{" + " ".join(f"{name}: me {{ name }}" for name in names) + "}"
        assert await ask(execution, document) == {"data": {name: {"name": "The Boss"} for name in names}}
        assert len(execution.preparer._requests) == kept


async def test_a_request_with_long_variables_is_not_cached(execution: Execution) -> None:
    room = prepare._KEPT_VARIABLES - len(orjson.dumps({"n": 1, "unknown": ""}))
    for length, kept in ((room + 1, 0), (room, 1)):
        for _ in range(2):
            assert await ask(execution, FIRST, n=1, unknown="x" * length) == NONE
            assert len(execution.preparer._requests) == kept


async def test_a_mutation_is_not_cached(execution: Execution) -> None:
    document = """mutation($id: ID!) { ticketResolve(input: {ticketId: $id, resolution: "r"}) {
        userErrors { code } } }"""
    for _ in range(2):
        found = await ask(execution, document, id=TICKETS[0])
        assert found == {"data": {"ticketResolve": {"userErrors": [{"code": "NOT_FOUND"}]}}}
    assert not execution.preparer._requests


async def test_different_requests_do_not_share_a_cache_entry(execution: Execution) -> None:
    document = "query($name: Boolean = true, $role: Boolean = true) { me { ...F } } fragment F on Viewer { ...G } "
    document += "fragment G on Viewer { name @include(if: $name) role @skip(if: $role) }"
    cases: list[tuple[Viewer, dict[str, Any], dict[str, Any]]] = [
        (ADMIN, {}, {"name": "The Boss"}),
        (ADMIN, {"name": False}, {}),
        (ADMIN, {"name": True}, {"name": "The Boss"}),
        (ADMIN, {"role": False}, {"name": "The Boss", "role": "ADMIN"}),
        (ADMIN, {"name": False, "role": False}, {"role": "ADMIN"}),
        (ADMIN_2, {"role": False}, {"name": "Another Boss", "role": "ADMIN"}),
        (SERVICE, {"role": False}, {"name": "Chatbot", "role": "SERVICE"}),
        (SERVICE_2, {"role": False}, {"name": "Robot", "role": "SERVICE"}),
    ]
    for order in (cases, cases[::-1]):
        for viewer, variables, me in order:
            assert await ask(execution, document, viewer, **variables) == {"data": {"me": me}}
    for variables in ({"name": None}, {"role": None}):
        refused = await ask(execution, document, **variables)
        assert [error["extensions"]["code"] for error in refused["errors"]] == ["BAD_USER_INPUT"]


async def test_concurrent_requests_are_answered_for_their_own_viewers(execution: Execution) -> None:
    """All are bound before any of them runs."""
    viewers = [Viewer(Role.SERVICE, f"service {number}", f"Service {number}") for number in range(10)]
    for _ in range(2):  # cold and warm
        document = "{ one: me { name } two: me { name } }"
        answers = await asyncio.gather(*(ask(execution, document, viewer) for viewer in viewers))
        for viewer, answer in zip(viewers, answers, strict=True):
            assert answer["data"] == {"one": {"name": viewer.name}, "two": {"name": viewer.name}}


async def test_the_memory_for_cached_variants_is_limited(pool: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_VARIANT_BYTES", 5 * prepare._BYTES_PER_SELECTION)
    monkeypatch.setattr(prepare, "_REQUEST_BYTES", 0)
    execution = execution_with(pool)
    document = "query($a: Boolean!, $b: Boolean!) { me { name @include(if: $a) role @include(if: $b) } }"
    variants = execution.preparer._variants
    sizes = []
    for number in (0, 1, 2, 0, 3, 0, 1):
        a, b = bool(number & 1), bool(number & 2)
        found = (await ask(execution, document, a=a, b=b))["data"]["me"]
        assert list(found) == ["name"] * a + ["role"] * b
        sizes.append(len(variants))
        assert variants.currsize <= variants.maxsize
    assert sizes == [1, 2, 3, 3, 2, 2, 2]  # the last two are `me` with one field and with none


async def test_recently_used_statements_of_all_documents_are_cached(
    pool: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_REQUEST_BYTES", 0)
    documents = ["query A($f: TicketFilter) { tickets(filter: $f) { totalCount } }"]
    documents += [documents[0].replace("query A", "query B")]
    filters: list[dict[str, Any]] = [{}, {"status": ["OPEN"]}, {"priority": ["LOW"]}]
    asked = [(document, filter) for document in documents for filter in filters]
    execution = execution_with(pool)
    for document, filter in asked:
        assert await ask(execution, document, f=filter) == NONE
    texts = [compiled.statement.text for compiled in execution.preparer._statements.values()]
    assert texts[:3] == texts[3:]
    monkeypatch.setattr(prepare, "_STATEMENT_BYTES", sum(map(len, texts[:4])) * prepare._BYTES_PER_CHARACTER)
    execution = execution_with(pool)
    statements = execution.preparer._statements
    for document, filter in asked[:4]:
        await ask(execution, document, f=filter)
    first = list(statements)
    assert len(first) == 4 and statements.currsize == statements.maxsize
    for document, filter in (asked[0], asked[5]):
        await ask(execution, document, f=filter)
        assert statements.currsize <= statements.maxsize
    assert first[0] in statements and first[1] not in statements


async def test_values_of_one_shape_share_a_statement(execution: Execution) -> None:
    document = "query($f: TicketFilter) { tickets(filter: $f) { totalCount } }"
    for person in PEOPLE:
        await ask(execution, document, f={"customerId": f"cus_{person}"})
    one, other = (read.roots[0].compiled for read in execution.preparer._requests.values())
    assert one is other


async def test_pages_of_similar_sizes_share_a_statement(execution: Execution) -> None:
    for n in (1, 2, 5, 6, 10, 11, 20, 21, 50, 51, 100):
        assert await ask(execution, FIRST, n=n) == NONE
    sizes = [shape.most for _, (shape,) in execution.preparer._statements if isinstance(shape, PageShape)]
    assert sizes == [1, 5, 10, 20, 50, 100]


LIST = "tickets(filter: $f) { totalCount nodes { id } }"
STATUSES = [["OPEN"], ["CLOSED"], ["CLOSED", "OPEN"], []]


async def statements(execution: Execution, field: str, filters: list[dict[str, Any]]) -> int:
    """Returns the number of different statements for lists with these filters."""
    document = f"query($f: TicketFilter) {{ {field} }}"
    operation = execution.preparer.prepared(*execution.preparer.operation(document, None))
    assert operation is not None
    bound = [execution.preparer.bind(operation, {"f": filter}, ADMIN)[0] for filter in filters]
    return len({root.read.compiled.statement.text for root in bound})


async def test_the_words_of_a_filter_are_values_where_no_plan_depends_on_them(execution: Execution) -> None:
    assert await statements(execution, LIST, [{"status": words} for words in STATUSES]) == 1
    assignee = {"assignee": {"technicianId": f"tec_{PEOPLE[0]}"}, "priority": ["LOW"]}
    assert await statements(execution, LIST, [assignee | {"status": words} for words in STATUSES]) == 1


@pytest.mark.parametrize(
    ("field", "more"),
    [
        (LIST, {"source": ["EMAIL"]}),
        (LIST, {"category": ["CCTV"]}),
        (LIST, {"search": "door"}),
        (LIST, {"createdAt": {"from": "2026-03-01T12:00Z"}}),
        (LIST, {"not": {"priority": ["LOW"]}}),
        (LIST, {"or": [{"priority": ["LOW"]}]}),
        (LIST.replace("$f", "$f, orderBy: {field: REFERENCE, direction: ASC}"), {}),
        ("technicians { nodes { " + LIST + " } }", {}),
    ],
)
async def test_the_words_of_a_filter_are_in_the_statement_where_a_plan_may_depend_on_them(
    execution: Execution, field: str, more: dict[str, Any]
) -> None:
    assert await statements(execution, field, [more | {"status": words} for words in STATUSES]) == len(STATUSES)


async def test_a_request_refused_for_its_cost_is_not_cached(execution: Execution) -> None:
    document = "query($n: Int) { tickets(first: $n) { nodes { notes(first: $n) { nodes { ticket { id } } } } } }"
    for n, refused in ((100, True), (2, False), (100, True), (2, False)):
        found = await ask(execution, document, n=n)
        assert ("errors" in found) is refused
    assert len(execution.preparer._requests) == 1


def test_a_cost_may_be_as_high_as_its_limit() -> None:
    Cost()._add(Weight(OBJECTS_MAX, VALUES_MAX), 1)
    Cost()._add(Weight(OBJECTS_MAX // 100, VALUES_MAX // 100), 100)
    for weight in (Weight(OBJECTS_MAX + 1, 0), Weight(0, VALUES_MAX + 1)):
        with pytest.raises(LimitExceeded):
            Cost()._add(weight, 1)
    for weight in (Weight(OBJECTS_MAX, 0), Weight(0, VALUES_MAX)):
        cost = Cost()
        cost._add(weight, 1)
        with pytest.raises(LimitExceeded):
            cost._add(Weight(1, 1), 1)


@pytest.mark.parametrize(
    ("objects", "values", "times"),
    [
        (OBJECTS_MAX // 10, 1, 10),
        (1, VALUES_MAX // 10, 10),
        (OBJECTS_MAX // 10 + 1, 1, 9),
        (OBJECTS_MAX, VALUES_MAX, 1),
        (OBJECTS_MAX // 2 + 1, 1, 1),
        (0, 0, OBJECTS_MAX),
    ],
)
def test_fits_returns_how_often_a_cost_is_within_the_limit(objects: int, values: int, times: int) -> None:
    assert Cost(objects, values).fits() == times


# Groups of subscribers


@pytest.fixture
def feed(execution: Execution, pool: Database) -> Callable[..., Feed]:
    def made(query: str, viewer: Viewer = ADMIN, operation: str | None = None, **variables: Any) -> Feed:
        bound = execution.preparer.bind_stream(*execution.preparer.operation(query, operation), variables, viewer)
        marks = execution.preparer.marks
        feeds = Feeds(pool, marks.position, unsigned, Screenings(pool), NO_PRESENCE)
        feed = feeds.feed(bound, viewer, free_budget())
        assert isinstance(feed, Feed)
        return feed

    return made


CHANGES = "subscription($f: TicketFilter, $after: String) { ticketChanged(filter: $f, after: $after) { __typename } }"
COUNTS = "subscription($f: TicketFilter) { ticketCountsChanged(filter: $f) { all } }"
NESTED = """subscription($first: Int) { ticketChanged { ... on TicketChange {
    ticket { notes(first: $first) { nodes { body } } } } } }"""
NOTES = "subscription($id: ID!) { noteAdded(ticketId: $id) { ... on NoteAdded { note { body } } } }"


@pytest.mark.parametrize("document", [CHANGES, COUNTS])
def test_subscribers_with_equal_requests_and_rights_share_a_group(feed: Callable[..., Feed], document: str) -> None:
    """All admins have the same rights."""
    filter = {"status": ["OPEN"], "search": "door"}
    keys = {feed(document, viewer, f=filter).key for viewer in (ADMIN, ADMIN_2, ADMIN)}
    assert len(keys) == 1
    for viewer in (SERVICE, Viewer(Role.TECHNICIAN, PEOPLE[0], "Tess"), Viewer(Role.CUSTOMER, PEOPLE[0], "Ada")):
        assert feed(document, viewer).key == feed(document, viewer).key


def test_subscribers_with_different_cursors_share_a_group(feed: Callable[..., Feed]) -> None:
    assert len({feed(CHANGES, after=after).key for after in (None, "one", "two")}) == 1


def test_subscribers_with_different_requests_or_rights_do_not_share_a_group(feed: Callable[..., Feed]) -> None:
    filters: list[dict[str, Any]] = [
        {"status": ["OPEN"]},
        {"status": ["CLOSED"]},
        {"status": ["OPEN", "CLOSED"]},
        {"priority": ["LOW"]},
        {"search": "door"},
        {"search": "Door bell"},
        {"customerId": f"cus_{PEOPLE[0]}"},
        {"customerId": f"cus_{PEOPLE[1]}"},
        {"assignee": {"technicianId": f"tec_{PEOPLE[0]}"}},
        {"assignee": {"technicianId": f"tec_{PEOPLE[1]}"}},
        {"assignee": {"unassigned": True}},
        {"not": {"status": ["OPEN"]}},
        {"and": [{"status": ["OPEN"]}, {"priority": ["LOW"]}]},
        {"or": [{"status": ["OPEN"]}, {"priority": ["LOW"]}]},
    ]
    viewers = [ADMIN, SERVICE, SERVICE_2] + [
        Viewer(role, person, "Somebody") for role in (Role.TECHNICIAN, Role.CUSTOMER) for person in PEOPLE
    ]
    documents = [CHANGES, COUNTS, CHANGES.replace("__typename", "a: __typename")]
    keys = [feed(document, viewer).key for document in documents for viewer in viewers]
    keys += [feed(CHANGES, f=filter).key for filter in filters]
    keys += [feed(NOTES, id=ticket).key for ticket in TICKETS]
    keys += [feed(NESTED, first=number).key for number in (1, 2)]
    assert len(set(keys)) == len(keys) == 39


def test_feeds_that_differ_only_in_their_filters_form_one_family(feed: Callable[..., Feed]) -> None:
    """A family shares one statement, for every combination of simple conditions."""
    filters: list[dict[str, Any]] = [
        {},
        {"status": ["OPEN"]},
        {"status": ["CLOSED", "OPEN"], "priority": ["LOW"]},
        {"assignee": {"unassigned": True}, "category": []},
        {"assignee": {"me": False}, "customerId": f"cus_{PEOPLE[0]}"},
        {"createdAt": {"from": "2026-03-01T12:00Z"}},
        {"createdAt": {"until": "2026-03-01T12:00Z"}, "updatedAt": {"from": "2026-03-01T12:00Z"}},
        {"search": "door"},
        {"search": "d"},
    ]
    feeds = [feed(CHANGES, f=filter) for filter in filters]
    assert len({each.family for each in feeds}) == 1
    assert len({each.key for each in feeds}) == len(feeds)
    assert feed(NOTES, id=TICKETS[0]).family == feed(NOTES, id=TICKETS[1]).family


def test_feeds_with_different_messages_or_statements_form_different_families(feed: Callable[..., Feed]) -> None:
    viewers = [ADMIN, SERVICE, SERVICE_2, Viewer(Role.TECHNICIAN, PEOPLE[0], "Tess")]
    nested: list[dict[str, Any]] = [{"not": {"status": ["OPEN"]}}, {"or": [{"status": ["OPEN"]}]}]
    families = [feed(CHANGES, viewer).family for viewer in viewers]
    families += [feed(CHANGES, f=filter).family for filter in nested]
    families += [feed(CHANGES.replace("__typename", "a: __typename")).family]
    families += [feed(NESTED, first=number).family for number in (1, 2)]
    families += [feed(COUNTS, f={"status": [status]}).family for status in ("OPEN", "CLOSED")]
    assert len(set(families)) == len(families)


def test_different_operations_of_a_document_do_not_share_a_group(feed: Callable[..., Feed]) -> None:
    document = """subscription A { ticketChanged { ... on TicketChange { kind } } }
        subscription B { ticketChanged { ... on TicketChange { ticketId } } }"""
    assert feed(document, operation="A").key == feed(document, operation="A").key != feed(document, operation="B").key


@pytest.mark.parametrize(
    ("selection", "fragments"),
    [
        ("kind @include(if: $on)", ""),
        ("kind @skip(if: $on)", ""),
        ("... @include(if: $on) { kind }", ""),
        ("... on TicketChange { kind @include(if: $on) }", ""),
        ("...F @include(if: $on)", "fragment F on TicketChange { kind }"),
        ("...F", "fragment F on TicketChange { ... on TicketChange { ...G } } fragment G on TicketChange { kind ...H }"
                 "fragment H on TicketChange { at @include(if: $on) }"),
        ("ticket { ...F }", "fragment F on Ticket { customer { ...G } } "
                            "fragment G on Customer { name @include(if: $on) }"),
    ],
)  # fmt: skip
def test_subscribers_with_different_conditions_do_not_share_a_group(
    feed: Callable[..., Feed], selection: str, fragments: str
) -> None:
    document = f"""subscription($on: Boolean = true) {{ ticketChanged {{ ...S }} }}
        fragment S on TicketChange {{ ticketId {selection} }} {fragments}"""
    on, off, default = (feed(document, **variables).key for variables in ({"on": True}, {"on": False}, {}))
    assert on == default != off


def test_a_feeds_statement_takes_as_many_events_as_its_cost_allows(feed: Callable[..., Feed]) -> None:
    assert feed(CHANGES).at_once == EVENTS_MAX
    costly = """subscription { ticketChanged { ... on TicketChange {
        ticket { notes(first: 100) { nodes { ticket { id } } } } } } }"""
    assert 1 < feed(costly).at_once < EVENTS_MAX


# Live counts


async def test_counts_are_sent_once_for_several_events_and_only_if_they_changed(
    feed: Callable[..., Feed], pool: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message belongs to the last event, so subscribers that have joined since the others receive it too."""
    monkeypatch.setattr(subscriptions, "MERGING_SECONDS", 0)
    counts = feed(COUNTS, SERVICE)
    asked = ["one", "two"]
    (message,) = await counts.of(asked)
    assert (message.event, orjson.loads(message.payload)) == ("two", {"data": {"ticketCountsChanged": {"all": 0}}})
    assert await counts.of(asked) == []
    await write_ticket(pool, SERVICE, "Alarm panel beeping")
    (message,) = await counts.of(asked)
    assert orjson.loads(message.payload) == {"data": {"ticketCountsChanged": {"all": 1}}}
    assert await counts.of(asked) == []


async def test_counts_wait_for_further_events(feed: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MERGING_SECONDS", 3_600)
    counting = asyncio.ensure_future(feed(COUNTS).of(["one"]))
    assert await asyncio.wait({counting}, timeout=0.1) == (set(), {counting})
    counting.cancel()


async def test_the_bell_rings_once_for_each_committed_mutation(pool: Database, database: Connection) -> None:
    """If it rang earlier, it would wake tails that find no event yet."""
    ticket = await write_ticket(database, ADMIN, "Camera offline")
    rings: list[int] = []
    preparer = Preparer(graphql_schema(schema))
    engine = engine_with(preparer, pool, written=lambda: rings.append(1))
    document = "mutation($i: TicketSetStatusInput!) { one: ticketSetStatus(input: $i) { userErrors { code } } }"
    async with database.transaction():
        await database.execute("SELECT FROM tickets WHERE id = $1 FOR UPDATE", ticket)
        changed = asyncio.create_task(
            ask(Execution(preparer, engine), document, i={"ticketId": f"tkt_{ticket}", "status": "IN_PROGRESS"})
        )
        await until_blocked(database)
        assert rings == []
    assert await changed == {"data": {"one": {"userErrors": []}}}
    assert rings == [1]
