"""The functions of `db/planner.py`: the plans with them, on 50,000 tickets, and the plans that they prevent.

Each of their tests runs a query's statement twice: with the function, and with the plain SQL that it replaces.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import ColumnElement, Integer, all_, literal, literal_column

from db import planner
from db.enums import Role
from db.events import log as event_log
from db.ids import new_id
from db.viewer import Viewer
from notifiers import rules
from notifiers.enqueue import deliveries
from tests.helpers.database_checks import Database
from tests.helpers.many_tickets import BUSIEST_CUSTOMER, BUSIEST_TECHNICIAN, IDLEST_TECHNICIAN, add_many_tickets
from tests.helpers.plans import ADMIN, generic_plan, times_planned
from tests.helpers.upgrading import rolled_back

CHATBOT = Viewer(Role.SERVICE, "chatbot", "The chatbot")
TECHNICIAN = Viewer(Role.TECHNICIAN, BUSIEST_TECHNICIAN, "Tess")
CUSTOMER = Viewer(Role.CUSTOMER, BUSIEST_CUSTOMER, "Cora")


@pytest.fixture(scope="module")
async def tickets(database_url: str) -> AsyncIterator[Database]:
    """A connection to a database with 50,000 tickets."""
    connection = await asyncpg.connect(database_url)
    await add_many_tickets(connection)
    yield connection
    await connection.close()


def replace(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], by: Callable[..., Any]) -> None:
    """Replaces a function of `db/planner.py` in all modules that import it."""
    name = function.__name__
    modules = [module for module in sys.modules.values() if getattr(module, "__dict__", {}).get(name) is function]
    assert modules != [planner]
    for module in modules:
        monkeypatch.setattr(module, name, by)


async def test_a_literal_limit_lets_a_short_page_stop_early(tickets: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    query = "{ tickets(filter: {source: [EMAIL]}, first: 1) { nodes { id } } }"
    plan = await generic_plan(tickets, query)
    assert plan.indexes("tickets") == {"ix_tickets_created_at_id"} and not plan.sorts()

    replace(monkeypatch, planner.number, lambda value: literal(value, Integer()))
    plan = await generic_plan(tickets, query)
    assert plan.indexes("tickets") == {"ix_tickets_search"} and plan.sorts()


async def test_a_fence_lets_few_rows_be_read_and_then_sorted(
    tickets: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = """query($assignee: AssigneeFilter) {
        tickets(filter: {assignee: $assignee}, orderBy: [{field: REFERENCE, direction: DESC}]) { nodes { id } } }"""
    variables = {"assignee": {"technicianId": f"tec_{IDLEST_TECHNICIAN}"}}
    plan = await generic_plan(tickets, query, variables)
    assert "uq_tickets_reference" not in plan.indexes("tickets") and plan.rows("tickets") < 1_000

    replace(monkeypatch, planner.fence, lambda query: query)
    plan = await generic_plan(tickets, query, variables)
    assert "uq_tickets_reference" in plan.indexes("tickets") and plan.rows("tickets") > 3_000


async def test_a_fence_reads_each_customers_tickets_instead_of_joining_all_of_the_viewers(
    tickets: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "{ customers(first: 20) { nodes { id } } }"
    plan = await generic_plan(tickets, query, viewer=TECHNICIAN)
    assert "ix_tickets_customer_id_created_at_id" in plan.indexes("tickets") and plan.rows("tickets") < 5_000

    replace(monkeypatch, planner.fence, lambda query: query)
    plan = await generic_plan(tickets, query, viewer=TECHNICIAN)
    assert "ix_tickets_customer_id_created_at_id" not in plan.indexes("tickets") and plan.rows("tickets") > 18_000


async def test_a_fence_finds_the_ticket_that_the_statement_came_from_by_its_id(
    tickets: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "{ tickets(first: 20) { nodes { technician { id } } } }"
    plan = await generic_plan(tickets, query, viewer=CUSTOMER)
    assert "pk_tickets" in plan.indexes("tickets")

    replace(monkeypatch, planner.fence, lambda query: query)
    plan = await generic_plan(tickets, query, viewer=CUSTOMER)
    assert "pk_tickets" not in plan.indexes("tickets")


@pytest.mark.parametrize("viewer", [ADMIN, TECHNICIAN])
async def test_the_open_work_of_a_technician_is_found_without_fetching_other_tickets(
    tickets: Database, monkeypatch: pytest.MonkeyPatch, viewer: Viewer
) -> None:
    query = """query($assignee: AssigneeFilter) {
        tickets(filter: {assignee: $assignee, status: [IN_PROGRESS]}, first: 100) { nodes { id } } }"""
    variables = {"assignee": {"technicianId": f"tec_{BUSIEST_TECHNICIAN}"}}
    plan = await generic_plan(tickets, query, variables, viewer)
    created_for_others = 150  # at most, and all of them are read for a technician
    most = 101 + (created_for_others if viewer is TECHNICIAN else 0)
    assert "ix_tickets_technician_id_created_at_id" in plan.indexes("tickets") and plan.rows("tickets") <= most

    replace(monkeypatch, planner.is_among, lambda column, values: column.in_([literal_column("'IN_PROGRESS'")]))
    plan = await generic_plan(tickets, query, variables, viewer)
    assert "ix_tickets_technician_id_created_at_id" not in plan.indexes("tickets")


async def test_the_open_work_of_a_technician_is_fetched_alone_and_sorted(tickets: Database) -> None:
    query = """query($assignee: AssigneeFilter) {
        tickets(filter: {assignee: $assignee, status: [IN_PROGRESS]}, orderBy: [{field: UPDATED_AT, direction: DESC}]) {
            nodes { id } } }"""
    variables = {"assignee": {"technicianId": f"tec_{IDLEST_TECHNICIAN}"}}
    plan = await generic_plan(tickets, query, variables)
    assert plan.sorts() and plan.rows("tickets") < 300  # 250 entries of the index are counted


@pytest.mark.parametrize("viewer", [CUSTOMER, TECHNICIAN])
async def test_a_list_of_ones_own_tickets_is_planned_only_a_few_times(
    tickets: Database, monkeypatch: pytest.MonkeyPatch, viewer: Viewer
) -> None:
    query = "{ tickets(first: 20) { nodes { customer { id } property { id } technician { id } } } }"
    assert await times_planned(tickets, query, viewer, executions=8) == 5

    replace(monkeypatch, planner.opaque, lambda condition: condition)
    assert await times_planned(tickets, query, viewer, executions=8) == 8


async def test_creating_a_ticket_with_its_deliveries_is_planned_only_a_few_times(tickets: Database) -> None:
    ticket = {"subject": "Heater", "description": "It is cold.", "source": "ADMIN", "creator_kind": "ADMIN"}
    contact = {"creator_id": "boss", "contact_name": "Jo", "contact_email": "jo@example.com"}
    await tickets.execute("SET plan_cache_mode = 'auto'")
    async with rolled_back(tickets):
        for letter in "ABCDEFGH":
            values = ticket | contact | {"id": new_id(), "reference": f"TKT-2222{letter}2"}
            queued = deliveries(ADMIN, rules.of_creation(None))
            assert await event_log.create(tickets, ADMIN, values, deliveries=queued)
        planned = "SELECT custom_plans FROM pg_prepared_statements WHERE statement ~ '^WITH tickets'"
        assert await tickets.fetchval(planned) == 5


async def test_an_expression_of_a_parameter_is_evaluated_once(
    tickets: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = '{ tickets(filter: {search: "lobby"}) { nodes { id } } }'
    plan = await generic_plan(tickets, query)
    assert "InitPlan" in plan.filters() and "$" not in plan.filters()

    replace(monkeypatch, planner.once, lambda expression: expression)
    plan = await generic_plan(tickets, query)
    assert "$" in plan.filters()


async def test_an_opaque_condition_lets_a_long_list_be_read_in_index_order(
    tickets: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "{ tickets(orderBy: [{field: PRIORITY, direction: DESC}], first: 20) { nodes { id } } }"
    plan = await generic_plan(tickets, query, viewer=CHATBOT)
    assert "ix_tickets_priority_id" in plan.indexes("tickets") and "ix_tickets_search" not in plan.indexes("tickets")

    replace(monkeypatch, planner.opaque, lambda condition: condition)
    plan = await generic_plan(tickets, query, viewer=CHATBOT)
    assert "ix_tickets_priority_id" not in plan.indexes("tickets") and "ix_tickets_search" in plan.indexes("tickets")


async def test_a_search_for_a_frequent_term_reads_the_list_in_order(
    tickets: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = '{ tickets(filter: {category: [CCTV], search: "lobby"}, first: 100) { nodes { id } } }'
    plan = await generic_plan(tickets, query)
    assert plan.indexes("tickets") == {"ix_tickets_created_at_id"}

    def like(
        text: ColumnElement[str], longest: ColumnElement[Any], patterns: ColumnElement[Any]
    ) -> ColumnElement[bool]:
        return text.op("LIKE", is_comparison=True)(all_(planner.of_any_length(patterns)))

    replace(monkeypatch, planner.contains_without_index, like)
    plan = await generic_plan(tickets, query)
    assert "ix_tickets_search" in plan.indexes("tickets")


async def test_articles_after_the_window_are_read_in_order(tickets: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    query = '{ articles(search: "camera", first: 20) { nodes { id } } }'
    plan = await generic_plan(tickets, query)
    assert plan.indexes("articles") == {"ix_articles_created_at_id"} and plan.rows("articles") < 3_000

    replace(
        monkeypatch, planner.matches_without_index, lambda vector, words: vector.op("@@", is_comparison=True)(words)
    )
    plan = await generic_plan(tickets, query)
    assert "ix_articles_search" in plan.indexes("articles") and plan.rows("articles") > 4_000
