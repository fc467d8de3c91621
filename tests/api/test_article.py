"""Knowledge base articles: writing, editing, publishing and searching them, and creating them from tickets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.helpers.api import Api, Refusal
from tests.helpers.database_checks import Database, dump, events, ticket_row, until_blocked
from tests.helpers.paging import both_ways

ARTICLE = "article { id problem solution published sourceTicket { id } createdAt updatedAt }"


async def resolved_ticket(api: Api, **given: Any) -> str:
    ticket = await api.new_ticket(**given)
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Replaced the battery.\nTested.")
    return ticket


async def test_an_article_can_be_edited_published_and_withdrawn(api: Api) -> None:
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


async def test_an_article_can_be_published_at_creation(api: Api) -> None:
    created = await api.done("articleCreate", ARTICLE, problem="p", solution="s", published=True)
    assert created["article"]["published"] is True


@pytest.mark.parametrize("name", ["problem", "solution", "published"])
async def test_null_for_a_required_field_of_an_article_is_refused(api: Api, name: str) -> None:
    article = (await api.done("articleCreate", ARTICLE, problem="p", solution="s", published=True))["article"]
    cleared: dict[str, Any] = {"articleId": article["id"], name: None}
    assert await api.refused("articleUpdate", "__typename", **cleared) == [("REQUIRED", name)]


async def test_all_user_errors_of_an_article_are_returned_together(api: Api) -> None:
    refused = await api.refused("articleCreate", problem="two\nlines", solution=" ")
    assert refused == [("INVALID", "problem"), ("REQUIRED", "solution")]


async def test_customers_and_services_see_an_article_only_while_it_is_published(api: Api) -> None:
    article = (await api.done("articleCreate", ARTICLE, problem="Keypad dead", solution="Reset."))["article"]
    document = "query($id: ID!) { node(id: $id) { ... on Article { problem } } }"
    async with api.customer(await api.new_customer()) as cora, api.service() as chatbot:

        async def seen() -> list[bool]:
            return [
                (await viewer.seen(document, id=article["id"]))["node"] is not None for viewer in (api, cora, chatbot)
            ]

        assert await seen() == [True, False, False]
        await api.done("articleUpdate", "__typename", articleId=article["id"], published=True)
        assert await seen() == [True, True, True]
        await api.done("articleUpdate", "__typename", articleId=article["id"], published=False)
        assert await seen() == [True, False, False]


async def test_a_resolved_ticket_can_become_an_article_that_is_then_edited(api: Api, database: Database) -> None:
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

    # From now on they change independently.
    await api.done("articleUpdate", "__typename", articleId=article["id"], solution="Replace the battery.")
    assert (await ticket_row(database, ticket))["resolution"] == "Replaced the battery.\nTested."
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="OPEN")
    kept = await api("query($id: ID!) { ticket(by: {id: $id}) { article { solution } } }", id=ticket)
    assert kept["ticket"]["article"] == {"solution": "Replace the battery."}


async def test_a_closed_ticket_with_a_resolution_can_become_an_article(api: Api) -> None:
    ticket = await resolved_ticket(api)
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="CLOSED")
    assert (await api.done("articleCreateFromTicket", ARTICLE, ticketId=ticket))["article"]["sourceTicket"][
        "id"
    ] == ticket


async def test_a_ticket_without_a_resolution_cannot_become_an_article(api: Api, database: Database) -> None:
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


async def test_a_second_conversion_returns_the_article_that_there_is(api: Api, database: Database) -> None:
    """Also of a ticket that has been reopened, with another key, or with another wish about publishing."""
    ticket = await resolved_ticket(api)
    payloads = await asyncio.gather(*(api.done("articleCreateFromTicket", ARTICLE, ticketId=ticket) for _ in range(12)))
    article = payloads[0]["article"]
    assert [payload["article"] for payload in payloads] == [article] * 12
    await api.done("articleUpdate", "__typename", articleId=article["id"], problem="Edited")
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="OPEN")
    before = await dump(database)
    for given in ({}, {"idempotencyKey": "another"}, {"published": True}):
        again = (await api.done("articleCreateFromTicket", ARTICLE, ticketId=ticket, **given))["article"]
        assert (again["id"], again["problem"], again["published"]) == (article["id"], "Edited", False)
    assert await dump(database) == before


async def test_an_article_from_a_ticket_can_be_published_at_once(api: Api) -> None:
    ticket = await resolved_ticket(api)
    assert await api.refused("articleCreateFromTicket", ticketId=ticket, published=None) == [("REQUIRED", "published")]
    article = (await api.done("articleCreateFromTicket", ARTICLE, ticketId=ticket, published=True))["article"]
    assert article["published"] is True


async def test_a_ticket_reopened_meanwhile_cannot_become_an_article(api: Api, database: Database) -> None:
    """The reopening is not committed yet when the article is requested, so the request waits for it."""
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


# Search

FOUND = """query($search: String, $published: Boolean, $first: Int, $after: String, $last: Int, $before: String) {
  articles(search: $search, published: $published, first: $first, after: $after, last: $last, before: $before) {
    edges { match excerpt { text matched } node { id problem } } nodes { id } totalCount
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


async def write(api: Api, problem: str, solution: str = "Nothing helps.", *, published: bool = True) -> str:
    made = await api.done("articleCreate", "article { id }", problem=problem, solution=solution, published=published)
    return str(made["article"]["id"])


async def search(viewer: Api, term: str, **given: Any) -> list[tuple[str, str]]:
    """Returns the match and problem of each article found, best first."""
    found = (await viewer(FOUND, search=term, first=100, **given))["articles"]
    assert found["totalCount"] == len(found["edges"])
    return [(edge["match"], edge["node"]["problem"]) for edge in found["edges"]]


async def excerpt(viewer: Api, term: str) -> list[tuple[str, bool]]:
    edge, *_ = (await viewer(FOUND, search=term, first=1))["articles"]["edges"]
    return [(piece["text"], piece["matched"]) for piece in edge["excerpt"]]


@pytest.mark.parametrize("typed", ["intercmo dor", "Intrecom doors", "intrcom dooor", "my intercomm's door"])
async def test_an_article_is_found_despite_typing_mistakes(api: Api, typed: str) -> None:
    if not await search(api, "intercom door"):
        await write(api, "Intercom door does not open", "Check the strike.")
        await write(api, "Doorbell dead", "Replace it.")
    assert (await search(api, typed))[0] == ("SOME_WORDS", "Intercom door does not open")


async def test_articles_with_some_words_are_found_only_if_none_has_all(api: Api) -> None:
    await write(api, "Gantry crane alarm", "Call the crane's maker.")
    await write(api, "Gantry lights flicker")
    assert await search(api, "gantries crane") == [("ALL_WORDS", "Gantry crane alarm")]
    assert await search(api, "Why does the gantry's crane flicker?") == [
        ("SOME_WORDS", "Gantry crane alarm"),
        ("SOME_WORDS", "Gantry lights flicker"),
    ]


async def test_a_search_has_the_syntax_of_a_search_engine(api: Api) -> None:
    await write(api, "Sluice pump stuck", "Free the pump.")
    await write(api, "Sluice stuck", "No pump there.")
    await write(api, "Weir overflow")
    assert {problem for _, problem in await search(api, "sluice or weir")} == {
        *("Sluice pump stuck", "Sluice stuck", "Weir overflow")
    }
    assert await search(api, '"sluice stuck"') == [("ALL_WORDS", "Sluice stuck")]
    assert await search(api, "weir -pump") == [("ALL_WORDS", "Weir overflow")]
    for term in ("sluice - pump", "sluice pump"):  # a dash between spaces is no operator
        assert await search(api, term) == [("ALL_WORDS", "Sluice pump stuck"), ("ALL_WORDS", "Sluice stuck")]
    assert await search(api, "sluice -pump weir") == []  # excluded words stay excluded when some words are enough


async def test_an_excerpt_is_the_matching_passage_in_pieces_of_plain_text(api: Api) -> None:
    filler = " ".join(f"filler{n}" for n in range(200))
    await write(api, "Capstan is slow", f"{filler} then oil the windlass, twice. {filler}")
    pieces = await excerpt(api, "windlass")
    assert [text for text, matched in pieces if matched] == ["windlass"]
    passage = "".join(text for text, _ in pieces)
    assert "then oil the windlass, twice." in passage
    assert 15 <= len(passage.split()) <= 30
    assert passage in f"Capstan is slow\n\n{filler} then oil the windlass, twice. {filler}"
    assert (await excerpt(api, "capstans slow"))[:3] == [("Capstan", True), (" is ", False), ("slow", True)]
    assert ("windlass", True) in await excerpt(api, "windlsas")
    unsearched = (await api(FOUND, first=1))["articles"]["edges"][0]
    assert (unsearched["excerpt"], unsearched["match"]) == (None, None)


@pytest.mark.parametrize(
    "text",
    [
        "Hold <F2> & press <b>quokka</b> <script>alert('x')</script>",
        "A quokka \x01\x02 or \x03 two \\x01",
        "1 < 2 > 0 quokka <",
        "quokka",
        'StartSel="[" quokka, StopSel=]',
    ],
)
async def test_an_excerpt_leaves_the_text_unchanged(api: Api, text: str) -> None:
    """Except for invisible characters, which are removed."""
    article = await write(api, "Animals", text)
    pieces = await excerpt(api, "quokka")
    await api.done("articleUpdate", "__typename", articleId=article, solution="Gone.")
    assert [piece for piece, matched in pieces if matched] == ["quokka"]
    shown = "".join(piece for piece, _ in pieces)
    plain = "Animals\n\n" + text.translate(dict.fromkeys((1, 2, 3)))
    assert shown == plain or (len(shown) > 10 and shown in plain)


async def test_an_unpublished_article_does_not_affect_what_others_find(api: Api) -> None:
    """Neither whether all or some words have to match, nor how misspelt words are corrected."""
    await write(api, "Hexafoil gate stuck", "Oil it.")
    document = FOUND.replace("{ id problem }", "{ problem }").replace("nodes { id }", "")
    customer = await api.new_customer()
    async with api.customer(customer) as cora, api.service() as chatbot:

        async def answers() -> list[Any]:
            terms = ("hexafoil gate jammed", "hexaofil", "hexafoli gate", "hexafoil", "gate", "jammed")
            return [await viewer(document, search=term) for viewer in (cora, chatbot) for term in terms]

        before = await answers()
        assert [found["articles"]["totalCount"] for found in before[:6]] == [1, 1, 1, 1, 1, 0]
        hidden = await write(api, "Hexafoil gate jammed", "hexaofil hexafoli hexafoils jammed", published=False)
        assert await answers() == before
        assert await search(api, "hexaofil") == [("ALL_WORDS", "Hexafoil gate jammed")]
        await api.done("articleUpdate", "__typename", articleId=hidden, published=True)
        assert await search(chatbot, "hexaofil") == [("ALL_WORDS", "Hexafoil gate jammed")]
        assert await search(chatbot, "hexafoil", published=False) == []


@pytest.mark.parametrize("term", ["blower", "blowre", "blower furnace"])
async def test_very_many_matches_are_paged_without_gap_or_repeat(api: Api, database: Database, term: str) -> None:
    """More matches than are ranked: the newest two thousand are sorted by relevance, the others by age."""
    if not await database.fetchval("SELECT EXISTS (SELECT FROM articles WHERE problem LIKE 'Blower%')"):
        await database.execute(
            "INSERT INTO articles (id, problem, solution, published, created_at) SELECT gen_random_uuid(),"
            " 'Blower ' || n, repeat('Blower. ', n % 7) || CASE n % 3 WHEN 0 THEN 'Furnace.' ELSE 'Else.' END,"
            " n % 10 <> 0, now() - interval '1 day' - (n / 2) * interval '1 minute' FROM generate_series(1, 2400) n"
        )
    async with api.service() as chatbot:

        async def page(**way: Any) -> Any:
            return (await chatbot(FOUND.replace("excerpt { text matched }", ""), search=term, **way))["articles"]

        found = [node["id"] for node in await both_ways(page, 100)]
        condition = "published AND problem LIKE 'Blower%'" + (" AND solution LIKE '%Furnace%'" if "fur" in term else "")
        rows = await database.fetch(f"SELECT id, created_at FROM articles WHERE {condition}")
        assert sorted(found) == sorted(f"art_{row['id']}" for row in rows)
        edges = (await page(first=100))["edges"]
    assert {edge["match"] for edge in edges} == {"SOME_WORDS" if term == "blowre" else "ALL_WORDS"}
    if "fur" not in term:  # n % 7 of the best is 6
        assert all(int(edge["node"]["problem"].removeprefix("Blower ")) % 7 == 6 for edge in edges)
