"""Requests that are expensive to prepare give way to others."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import graphql
import pytest

from callout.execution import documents, prepare
from callout.execution.documents import LONG
from callout.execution.prepare import Preparer
from db.enums import Role
from db.viewer import Viewer
from schema import graphql_schema, schema
from tests.helpers.budgets import free_charge
from tests.helpers.graphql_ws_client import WITHIN

ADMIN = Viewer(Role.ADMIN, "boss", "The Boss")
ROOTS = 20


@pytest.fixture(scope="module")
def preparer() -> Preparer:
    return Preparer(graphql_schema(schema))


async def test_others_run_while_a_long_document_is_read(preparer: Preparer, monkeypatch: pytest.MonkeyPatch) -> None:
    others_have_run = threading.Event()

    def parse(*given: Any, **options: Any) -> graphql.DocumentNode:
        assert others_have_run.wait(WITHIN)
        return graphql.parse(*given, **options)

    monkeypatch.setattr(documents, "parse", parse)
    query = "{ me { role } }" + " " * LONG
    reading = asyncio.create_task(preparer.fetch_operation(query, None, Role.ADMIN, free_charge()))
    await asyncio.sleep(0)
    others_have_run.set()
    document, node = await reading
    assert document.text == query and document.operations == {None: node}
    assert (await preparer.fetch_operation(query, None, Role.ADMIN, free_charge()))[0] is document


async def test_others_run_between_the_statements_of_a_request(
    preparer: Preparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "STEP_SECONDS", -1)
    fields = " ".join(f"t{number}: tickets(first: {number + 1}) {{ totalCount }}" for number in range(ROOTS))
    document, node = await preparer.fetch_operation(f"{{ {fields} }}", None, Role.ADMIN, free_charge())
    operation = preparer.prepared(document, node)
    assert operation is not None
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(another())
    bound = await preparer.bind_in_steps(operation, None, ADMIN, free_charge())
    task.cancel()
    assert [root.field.key for root in bound] == [f"t{number}" for number in range(ROOTS)]
    assert turns >= 2 * ROOTS, "once for each field's arguments and once for its statement"
