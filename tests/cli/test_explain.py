"""`callout explain`: the selection, argument shape, SQL and plan of a query."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from callout.explain import explain
from db.enums import Role
from db.viewer import Viewer
from tests.helpers.paths import ROOT
from tests.helpers.terminal import Terminal

URGENT = "query Urgent($first: Int) { tickets(filter: {priority: [URGENT]}, first: $first) { nodes { reference } } }"


@pytest.fixture
def callout(database_url: str, tmp_path: Path) -> Terminal:
    return Terminal(database_url=database_url, data_dir=str(tmp_path))


def test_it_prints_selection_shape_and_statement(callout: Terminal) -> None:
    shown = callout("explain", URGENT, "--variables", '{"first": 2}').stdout
    selection, shape, statement = shown.split("\n\n")
    assert selection == "-- selection\ntickets  [Many of Ticket, site 0]\n  nodes\n    reference  [Column]"
    assert shape.splitlines()[0] == "-- argument shape of site 0, up to 2 rows"
    assert "filter=CriteriaShape(priority=ValueShape(slot=0))" in shape and "values: (('URGENT',), 2)" in shape
    assert "FROM tickets AS t_1" in statement and "LIMIT 6" in statement


def test_the_statement_contains_the_roles_visibility(callout: Terminal) -> None:
    shown = {
        role: callout("explain", "{ tickets { nodes { id } } }", "--role", role).stdout
        for role in ("admin", "technician", "customer", "service")
    }
    assert {role: ("technician_id = " in text, "customer_id = " in text) for role, text in shown.items()} == {
        "admin": (False, False),
        "technician": (True, False),
        "customer": (False, True),
        "service": (False, False),
    }
    assert "creator_kind = 'SERVICE'" in shown["service"]


def test_analyze_prints_the_plan(callout: Terminal) -> None:
    technician = "tec_00000000-0000-7000-8000-000000000000"
    arguments = ("explain", URGENT, "--analyze", "--role", "technician", "--subject", technician)
    plan = callout(*arguments).stdout.partition("-- plan\n")[2]
    assert "Execution Time" in plan and "on tickets" in plan


async def test_a_mutation_is_explained_and_not_run(
    callout: Terminal, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    document = """mutation {
        customerCreate(input: {name: "Ann", email: "a@b.example", accountNumber: "A1"}) { customer { id } } }"""
    shown = callout("explain", document, "--analyze").stdout
    assert "[MutationField" in shown and "-- plan" not in shown
    assert await database.fetchval("SELECT count(*) FROM customers") == 0


@pytest.mark.parametrize(
    "document",
    [
        "subscription { ticketChanged { __typename } }",
        "{ ticketEvents(first: 5) { nodes { kind } } }",
    ],
)
def test_what_reads_events_is_explained_and_not_run(callout: Terminal, document: str) -> None:
    """Its statement is given events, of which there are none here, so its plan would be that of nothing."""
    shown = callout("explain", document, "--analyze").stdout
    assert "-- statement" in shown
    assert "-- plan" not in shown


async def test_the_formatted_statement_has_the_same_plan(database: asyncpg.Connection[asyncpg.Record]) -> None:
    document = """query($search: String!) { tickets(filter: {search: $search}) { totalCount edges { cursor } }
        customers(search: $search) { nodes { name properties { nodes { address } } } }
        articles(search: $search) { edges { match excerpt { text } } } me { name } }"""
    explanations = explain(document, None, {"search": "ma"}, Viewer(Role.ADMIN, "boss", "The Boss"))
    assert len(explanations) == 4
    for each in explanations:
        formatted = each.text.rpartition(" characters\n")[2]
        plans = [await database.fetch(f"EXPLAIN {text}", *each.arguments) for text in (each.statement, formatted)]
        assert plans[0] == plans[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{ nope }",), "Cannot query field 'nope' on type 'Query'."),
        (("{ tickets",), "Syntax Error"),
        (("{ __schema { types { name } } }",), "The operation introspects the schema"),
        (("query($n: Int!) { tickets(first: $n) { nodes { id } } }",), "$n"),
        (("{ tickets(first: 1000) { nodes { id } } }",), "`first` must be between 1 and 100."),
        (
            ("{ tickets { nodes { chat { body } } } }", "--role", "customer"),
            "The role customer cannot read Ticket.chat.",
        ),
        (("{ me { name } }", "--variables", "[]"), "--variables must be a JSON object."),
        (("{ me { name } }", "--variables", "{"), "--variables must be a JSON object."),
    ],
)
def test_an_operation_that_cannot_be_explained_is_reported(
    callout: Terminal, arguments: tuple[str, ...], message: str
) -> None:
    done = callout("explain", *arguments)
    assert done.exit_code in (1, 2) and message in done.stderr


def test_the_architecture_page_shows_what_explain_prints(callout: Terminal) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    command, output = page.partition("```\n$ callout explain ")[2].partition("\n```")[0].split("\n", 1)
    query = command.strip("'")
    assert callout("explain", query).stdout.strip() == output.strip()
