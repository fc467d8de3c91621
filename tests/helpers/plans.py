"""The plans by which PostgreSQL runs the statements of GraphQL queries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from callout.execution.prepare import Preparer
from db.enums import Role
from db.viewer import Viewer
from schema import graphql_schema, schema
from tests.helpers.database_checks import Database

# PostgreSQL's own `auto_explain` shows the plan of the statement that runs. EXPLAIN with parameters would not show a
# generic plan: it uses the parameters' values, whatever `plan_cache_mode` says.
SHOW_PLANS = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_analyze = on;
SET auto_explain.log_timing = off;
SET auto_explain.log_format = 'json';
SET auto_explain.log_level = 'notice';
SET plan_cache_mode = 'force_generic_plan';
SET jit = off;
"""

ADMIN = Viewer(Role.ADMIN, "boss", "The Boss")


@dataclass(frozen=True)
class Node:
    """An executed node of a plan. `rows` is the number of rows that it read, over all its loops."""

    type: str
    table: str | None
    index: str | None
    filter: str
    rows: int


class Plan:
    """The nodes of a plan that were executed."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.nodes = list(_executed(root, None))

    def indexes(self, table: str) -> set[str]:
        """The names of the table's indexes that were scanned."""
        return {node.index for node in self.nodes if node.table == table and node.index}

    def rows(self, table: str) -> int:
        """The number of rows that were read of the table, including those that were filtered out."""
        return sum(node.rows for node in self.nodes if node.table == table and node.type != "Bitmap Index Scan")

    def sorts(self) -> bool:
        return any(node.type in ("Sort", "Incremental Sort") for node in self.nodes)

    def filters(self) -> str:
        """The conditions that were tested for each row."""
        return "\n".join(node.filter for node in self.nodes)


def _executed(node: dict[str, Any], above: str | None) -> Iterator[Node]:
    """Yields the node and those below it. `above` is the table of the node above, which an index scan for a bitmap
    leaves out."""
    if not (loops := node["Actual Loops"]):
        return
    table = node.get("Relation Name", above if node["Node Type"].startswith("Bitmap") else None)
    removed = sum(node.get(f"Rows Removed by {reason}", 0) for reason in ("Filter", "Index Recheck"))
    rows = round(loops * (node["Actual Rows"] + removed))
    yield Node(node["Node Type"], table, node.get("Index Name"), node.get("Filter", ""), rows)
    for child in node.get("Plans", ()):
        yield from _executed(child, table)


async def generic_plan(
    database: Database, query: str, variables: Mapping[str, Any] | None = None, viewer: Viewer = ADMIN
) -> Plan:
    """Runs the statement of a GraphQL query with one root field, and returns the generic plan by which it ran."""
    statement, arguments = _statement(query, variables, viewer)
    notices: list[str] = []

    def listen(_: Any, message: Any) -> None:
        notices.append(message.message)

    await database.execute(SHOW_PLANS)
    database.add_log_listener(listen)
    await database.fetch(statement, *arguments)
    database.remove_log_listener(listen)
    await asyncio.sleep(0)
    return Plan(json.loads(notices[-1].partition("plan:")[2])["Plan"])


async def times_planned(database: Database, query: str, viewer: Viewer, *, executions: int) -> int:
    """Executes the statement of a GraphQL query with one root field. Returns how often PostgreSQL planned it for the
    values of its parameters."""
    statement, arguments = _statement(query, None, viewer)
    await database.execute("SET plan_cache_mode = 'auto'")
    prepared = await database.prepare(statement)
    for _ in range(executions):
        await prepared.fetch(*arguments)
    times = await database.fetchval(
        "SELECT custom_plans FROM pg_prepared_statements WHERE name = $1", prepared.get_name()
    )
    assert isinstance(times, int)
    return times


def _statement(query: str, variables: Mapping[str, Any] | None, viewer: Viewer) -> tuple[str, Sequence[Any]]:
    """The statement of a GraphQL query with one root field, and its arguments."""
    preparer = Preparer(graphql_schema(schema))
    operation = preparer.prepared(*preparer.operation(query, None))
    assert operation is not None
    [root] = preparer.bind(operation, variables, viewer)
    return root.read.compiled.statement.text, root.arguments
