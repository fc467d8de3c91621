"""Knowledge base articles: written, edited, published, and made of resolved tickets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api import Api, Refusal
from tests.behind import Database, dump, events, ticket_row, until_blocked

ARTICLE = "article { id problem solution published sourceTicket { id } createdAt updatedAt }"


async def resolved_ticket(api: Api, **given: Any) -> str:
    ticket = await api.new_ticket(**given)
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Replaced the battery.\nTested.")
    return ticket


async def test_an_article_is_written_edited_published_and_withdrawn(api: Api) -> None:
    given = {"problem": "Panel beeps after an outage", "solution": "Replace the battery.\n\n1. Open it.\n2. …"}
    article = (await api.done("articleCreate", ARTICLE, **given))["article"]
    assert {name: article[name] for name in given} == given
    assert (article["published"], article["sourceTicket"]) == (False, None)
    assert article["createdAt"] == article["updatedAt"]

    for changed in (
        {"problem": "Panel beeps"},
        {"solution": "Replace the backup battery."},
        {"published": True},
        {"problem": "Panel beeps twice", "published": False},
    ):
        after = (await api.done("articleUpdate", ARTICLE, articleId=article["id"], **changed))["article"]
        assert after["updatedAt"] > article["updatedAt"]
        assert after == article | changed | {"updatedAt": after["updatedAt"]}
        article = after


async def test_an_article_is_published_at_once_where_asked_for(api: Api) -> None:
    created = await api.done("articleCreate", ARTICLE, problem="p", solution="s", published=True)
    assert created["article"]["published"] is True


@pytest.mark.parametrize("name", ["problem", "solution", "published"])
async def test_null_does_not_clear_what_an_article_always_has(api: Api, name: str) -> None:
    article = (await api.done("articleCreate", ARTICLE, problem="p", solution="s", published=True))["article"]
    cleared: dict[str, Any] = {"articleId": article["id"], name: None}
    assert await api.refused("articleUpdate", "__typename", **cleared) == [("REQUIRED", name)]


async def test_all_objections_to_an_article_come_at_once(api: Api) -> None:
    refused = await api.refused("articleCreate", problem="two\nlines", solution=" ")
    assert refused == [("INVALID", "problem"), ("REQUIRED", "solution")]


async def test_customers_and_services_see_an_article_from_its_publication_to_its_withdrawal(api: Api) -> None:
    article = (await api.done("articleCreate", ARTICLE, problem="Keypad dead", solution="Reset."))["article"]
    document = "query($id: ID!) { node(id: $id) { ... on Article { problem } } }"
    async with api.customer(await api.new_customer()) as cora, api.service() as chatbot:

        async def seen() -> list[bool]:
            return [(await viewer(document, id=article["id"]))["node"] is not None for viewer in (api, cora, chatbot)]

        assert await seen() == [True, False, False]
        await api.done("articleUpdate", "__typename", articleId=article["id"], published=True)
        assert await seen() == [True, True, True]
        await api.done("articleUpdate", "__typename", articleId=article["id"], published=False)
        assert await seen() == [True, False, False]


async def test_a_resolved_ticket_becomes_an_article_that_can_then_be_edited(api: Api, database: Database) -> None:
    ticket = await resolved_ticket(api, subject="Alarm panel beeping after power outage")
    row, log = await ticket_row(database, ticket), await events(database, ticket)
    article = (await api.done("articleCreateFromTicket", ARTICLE, ticketId=ticket))["article"]
    assert (article["problem"], article["solution"], article["published"], article["sourceTicket"]) == (
        "Alarm panel beeping after power outage",
        "Replaced the battery.\nTested.",
        False,
        {"id": ticket},
    )
    assert (await ticket_row(database, ticket), await events(database, ticket)) == (row, log)
    shown = await api("query($id: ID!) { ticket(by: {id: $id}) { article { id problem } } }", id=ticket)
    assert shown["ticket"]["article"] == {"id": article["id"], "problem": article["problem"]}

    # From here on each lives its own life.
    await api.done("articleUpdate", "__typename", articleId=article["id"], solution="Replace the battery.")
    assert (await ticket_row(database, ticket))["resolution"] == "Replaced the battery.\nTested."
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="OPEN")
    kept = await api("query($id: ID!) { ticket(by: {id: $id}) { article { solution } } }", id=ticket)
    assert kept["ticket"]["article"] == {"solution": "Replace the battery."}


async def test_a_closed_ticket_with_a_resolution_becomes_an_article_too(api: Api) -> None:
    ticket = await resolved_ticket(api)
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="CLOSED")
    assert (await api.done("articleCreateFromTicket", ARTICLE, ticketId=ticket))["article"]["sourceTicket"][
        "id"
    ] == ticket


async def test_without_a_resolution_there_is_no_article(api: Api, database: Database) -> None:
    tickets = [await api.new_ticket() for _ in range(4)]
    await api.done("ticketSetStatus", "__typename", ticketId=tickets[1], status="IN_PROGRESS")
    await api.done("ticketSetStatus", "__typename", ticketId=tickets[2], status="CLOSED")
    await api.done("ticketResolve", "__typename", ticketId=tickets[3], resolution="Done.")
    await api.done("ticketSetStatus", "__typename", ticketId=tickets[3], status="OPEN")
    before = await dump(database)
    for ticket in tickets:
        payload = await api.do("articleCreateFromTicket", ARTICLE, ticketId=ticket)
        assert payload["article"] is None
        assert [(e["code"], e["field"]) for e in payload["userErrors"]] == [
            ("RESOLUTION_REQUIRED", ["input", "ticketId"])
        ]
    assert await dump(database) == before


async def test_a_ticket_becomes_an_article_once(api: Api, database: Database) -> None:
    ticket = await resolved_ticket(api)
    payloads = await asyncio.gather(*(api.do("articleCreateFromTicket", ARTICLE, ticketId=ticket) for _ in range(12)))
    made = [payload["article"]["id"] for payload in payloads if not payload["userErrors"]]
    assert len(made) == 1
    objections = [error for payload in payloads for error in payload["userErrors"]]
    assert [(e["code"], e["field"]) for e in objections] == [("TAKEN", ["input", "ticketId"])] * 11
    assert await database.fetchval("SELECT count(*) FROM articles WHERE source_ticket_id = $1", ticket[4:]) == 1
    assert await api.refused("articleCreateFromTicket", ticketId=ticket) == [("TAKEN", "ticketId")]


async def test_a_ticket_reopened_meanwhile_becomes_no_article(api: Api, database: Database) -> None:
    """The reopening is written and not committed while the article is asked for: the article waits, and finds it."""
    ticket = await resolved_ticket(api)
    async with database.transaction():
        await database.execute(
            "UPDATE tickets SET status = 'OPEN', resolution = NULL, resolved_at = NULL WHERE id = $1", ticket[4:]
        )
        making = asyncio.create_task(api.do("articleCreateFromTicket", ARTICLE, ticketId=ticket))
        await until_blocked(database)
    payload = await making
    assert [error["code"] for error in payload["userErrors"]] == ["RESOLUTION_REQUIRED"]
    assert await database.fetchval("SELECT count(*) FROM articles WHERE source_ticket_id = $1", ticket[4:]) == 0


async def test_only_admins_write_articles(api: Api) -> None:
    ticket = await resolved_ticket(api)
    article = (await api.done("articleCreate", ARTICLE, problem="p", solution="s", published=True))["article"]
    technician, customer = await api.new_technician(), await api.new_customer()
    async with api.technician(technician) as tess, api.customer(customer) as cora, api.service() as chatbot:
        for viewer in (tess, cora, chatbot):
            for mutation, given in (
                ("articleCreate", {"problem": "p", "solution": "s"}),
                ("articleCreateFromTicket", {"ticketId": ticket}),
                ("articleUpdate", {"articleId": article["id"], "published": False}),
            ):
                with pytest.raises(Refusal) as refusal:
                    await viewer.do(mutation, "__typename", **given)
                assert refusal.value.codes == ["FORBIDDEN"]
