"""Tickets found by what was written on them: `filter: {text}` over descriptions, resolutions, notes and transcripts.

A model decides with plain Python which tickets have which words, and who may read these.
"""

from __future__ import annotations

import itertools
import random
import re
import unicodedata
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from db.ddl_texts import STRETCH
from db.enums import Role
from db.events import counts
from db.limits import EXCERPT_WORDS
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.database_checks import Database, key
from tests.helpers.graphql_ws_client import WITHIN, live
from tests.helpers.paging import both_ways

Filter: TypeAlias = dict[str, Any]

LIST = """
query($text: String, $filter: TicketFilter!, $orderBy: [TicketOrder!], $first: Int, $after: String, $last: Int,
    $before: String) {
  tickets(filter: {text: $text, and: [$filter]}, orderBy: $orderBy, first: $first, after: $after, last: $last,
      before: $before) {
    edges { node { id } excerpt { text matched } }
    nodes { id } totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }
"""
COUNTS = "query($filter: TicketFilter!) { ticketCounts(filter: $filter) { all unassigned } }"


async def found(api: Api, text: str | None, filter: Filter | None = None) -> set[str]:
    """Returns the ids that are found, after checking that all counts agree."""
    tickets = (await api(LIST, text=text, filter=filter or {}, first=100))["tickets"]
    ids = [edge["node"]["id"] for edge in tickets["edges"]]
    number = (await api(COUNTS, filter={"text": text, "and": [filter or {}]}))["ticketCounts"]["all"]
    assert tickets["totalCount"] == number == len(ids) == len(set(ids))
    return set(ids)


async def excerpts(api: Api, text: str) -> list[list[tuple[str, bool]]]:
    edges = (await api(LIST, text=text, filter={}, first=100))["tickets"]["edges"]
    return [[(piece["text"], piece["matched"]) for piece in edge["excerpt"]] for edge in edges]


# The model


def words_of(text: str) -> list[str]:
    """Returns the words of a text, as they are compared."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.findall(r"[^\W_]+", re.sub("['`´‘’]", "", plain).casefold())  # noqa: RUF001


def matches(word: str, text: str) -> bool:
    """Returns whether the text has the word, or one that begins with it."""
    exactly = re.fullmatch("[a-z0-9]{1,2}", word) is not None
    return any(each == word or (not exactly and each.startswith(word)) for each in words_of(text))


EVERYONE = "everyone"


@dataclass(frozen=True)
class Written:
    """A text on a ticket: whether services may read it, and which customer may, if the ticket is theirs."""

    text: str
    service: bool = True
    customer: str | None = EVERYONE


@dataclass
class Ticket:
    id: str
    service: str | None = None
    technician: str | None = None
    customer: str | None = None
    texts: list[Written] = field(default_factory=list)

    def readable(self, role: Role, subject: str) -> list[str]:
        """Returns the texts that the viewer may read; none if they do not see the ticket."""
        match role:
            case Role.ADMIN:
                return [each.text for each in self.texts]
            case Role.TECHNICIAN:
                return [each.text for each in self.texts if self.technician == subject]
            case Role.CUSTOMER:
                theirs = [each for each in self.texts if each.customer in (EVERYONE, subject)]
                return [each.text for each in theirs if self.customer == subject]
            case Role.SERVICE:
                return [each.text for each in self.texts if self.service == subject and each.service]


@dataclass
class World:
    tickets: list[Ticket]
    viewers: dict[tuple[Role, str], Api]

    def matching(self, role: Role, subject: str, term: str) -> set[str]:
        """Returns the ids of the tickets that have each word of the term in a text that the viewer may read."""
        return {
            ticket.id
            for ticket in self.tickets
            if (texts := ticket.readable(role, subject))
            and all(any(matches(word, text) for text in texts) for word in words_of(term))
        }


VOCABULARY = [
    *("panel", "Panél", "PANELS", "paneling", "pan", "camera", "caméra", "ca\u0301mera", "door", "doors", "O'Brien"),
    *("O’Brien", "obrien", "Hélène", "helene", "Straße", "STRASSE", "дверь", "Двери", "カメラ", "ｶﾒﾗ", "ab"),
    *("a", "abc", "1", "12", "123", "x9", "14:30", "snake_case", "a.b/c", "100%", "e-mail", "naïve", "ﬁlter"),
]
SEPARATORS = [" ", "  ", "\n", ", ", "/", " (", ") ", "… ", "—", ". ", "! ", "\u00a0", "、", "<b>", " & ", "@", "#"]


def drawn(pick: random.Random, number: int) -> str:
    words = pick.choices(VOCABULARY, k=number)
    return "".join(word + pick.choice(SEPARATORS) for word in words[:-1]) + words[-1]


@pytest.fixture(scope="module")
async def world(server: Server, database_url: str) -> AsyncIterator[World]:
    """Tickets with random texts, by admins and services, some of which change hands."""
    pick = random.Random(17)
    admin = Api(server)
    technicians = [await admin.new_technician() for _ in range(2)]
    customers = [await admin.new_customer() for _ in range(2)]
    viewers = {(Role.ADMIN, "boss"): admin}
    viewers |= {(Role.SERVICE, each): admin.service(each) for each in ("chatbot", "gateway")}
    viewers |= {(Role.TECHNICIAN, each): admin.technician(each) for each in technicians}
    viewers |= {(Role.CUSTOMER, each): admin.customer(each) for each in customers}
    database = await asyncpg.connect(database_url)
    world = World([], viewers)
    for _ in range(30):
        world.tickets.append(await written(world, database, pick, technicians, customers))
    await database.close()
    yield world
    for viewer in viewers.values():
        await viewer.close()


async def written(
    world: World, database: Database, pick: random.Random, technicians: Sequence[str], customers: Sequence[str]
) -> Ticket:
    """Writes a ticket with notes and other texts."""
    admin = world.viewers[Role.ADMIN, "boss"]
    service = pick.choice([None, "chatbot", "gateway"])
    given: dict[str, Any] = {"description": drawn(pick, pick.randint(1, 4))}
    texts = [Written(given["description"])]
    if service and pick.random() < 0.7:
        said = [drawn(pick, 2) for _ in range(2)]
        given["chat"] = {"messages": [{"author": "BOT", "body": body, "at": "2026-03-01T12:00:00Z"} for body in said]}
        texts.append(Written("\n".join(said), customer=None))
    creator = world.viewers[Role.SERVICE, service] if service else admin
    ticket = Ticket(await creator.new_ticket(**given), service, texts=texts)
    ticket.technician = pick.choice([None, *technicians])
    await admin.done("ticketAssign", "__typename", ticketId=ticket.id, technicianId=ticket.technician)
    for _ in range(pick.randint(0, 5)):
        kind, text = pick.choice(["internal", "public", "quoted", "customer", "customer"]), drawn(pick, 2)
        if kind == "customer":
            ticket.customer = pick.choice([None, *customers])
            await admin.done("ticketUpdate", "__typename", ticketId=ticket.id, customerId=ticket.customer)
        elif kind == "quoted":
            body = drawn(pick, 1)
            await add_quoting_note(database, ticket, body, text)
            texts += [Written(body, customer=ticket.customer), Written(text, service=False, customer=ticket.customer)]
        else:
            public = kind == "public"
            await admin.done("noteAdd", "__typename", ticketId=ticket.id, body=text, internalOnly=not public)
            texts.append(Written(text, public, ticket.customer if public else None))
    if pick.random() < 0.3:
        texts.append(Written(drawn(pick, 2)))
        await admin.done("ticketResolve", "__typename", ticketId=ticket.id, resolution=texts[-1].text)
    return ticket


async def add_quoting_note(database: Database, ticket: Ticket, body: str, quoted: str) -> None:
    """Writes a public note with a quoted part by SQL: mail cannot quote any text."""
    customer = ticket.customer and key(ticket.customer)
    await database.execute(
        """INSERT INTO notes (id, ticket_id, customer_id, body, quoted, internal_only, author_kind, author_id,
            author_name) VALUES (gen_random_uuid(), $1, $2, $3, $4, false, 'ADMIN', 'boss', 'The Boss')""",
        key(ticket.id),
        customer,
        body,
        quoted,
    )


def term(pick: random.Random) -> str:
    """Returns a random term, whose words may be beginnings of words, or in no text."""
    words = pick.choices([*VOCABULARY, "zebra"], weights=[4] * len(VOCABULARY) + [1], k=pick.choice([1, 1, 2, 2, 3]))
    return " ".join(word[: pick.randint(1, len(word))] if pick.random() < 0.3 else word for word in words)


async def test_tickets_have_each_word_in_a_text_that_the_viewer_may_read(world: World) -> None:
    """Excerpts are from such texts, and show such words."""
    pick, sizes = random.Random(18), Counter[tuple[Role, int]]()
    for (role, subject), viewer in world.viewers.items():
        readable = {ticket.id: ticket.readable(role, subject) for ticket in world.tickets}
        for _ in range(12):
            text = term(pick)
            if not words_of(text):
                continue
            expected = world.matching(role, subject, text)
            sizes[role, len(expected)] += 1
            assert await found(viewer, text) == expected, (role, text)
            for edge in (await viewer(LIST, text=text, filter={}, first=100))["tickets"]["edges"]:
                passage = "".join(piece["text"] for piece in edge["excerpt"])
                assert any(passage in each for each in readable[edge["node"]["id"]]), (role, text, passage)
                assert len(passage.split()) <= EXCERPT_WORDS
                shown = [piece["text"] for piece in edge["excerpt"] if piece["matched"]]
                assert shown and all(any(matches(word, each) for word in words_of(text)) for each in shown)
    for role in Role:
        assert len([size for each, size in sizes if each is role and size > 0]) >= 2, "the texts are too similar"


async def test_texts_combine_with_other_conditions(world: World) -> None:
    for (role, subject), viewer in world.viewers.items():
        everything = await found(viewer, None)
        panels, doors = (world.matching(role, subject, each) for each in ("panel", "door"))
        assert await found(viewer, "panel", {"text": "door"}) == panels & doors
        assert await found(viewer, "panel", {"not": {"text": "door"}}) == panels - doors
        assert await found(viewer, None, {"or": [{"text": "panel"}, {"text": "door"}]}) == panels | doors
        assert await found(viewer, None, {"not": {"text": "panel"}}) == everything - panels
        assert await found(viewer, "panel", {"search": "beeping"}) == panels
        assert await found(viewer, "panel", {"search": "nowhere"}) == set()


# What is hidden


@dataclass
class Hidden:
    """A ticket with a word in each text that not everyone may read, and its viewers."""

    ticket: str
    viewers: dict[str, Api]


@pytest.fixture(scope="module")
async def hidden(server: Server, database_url: str) -> AsyncIterator[Hidden]:
    admin = Api(server)
    customer, earlier, technician = await admin.new_customer(), await admin.new_customer(), await admin.new_technician()
    viewers = {"admin": admin, "service": admin.service("hidden"), "technician": admin.technician(technician)}
    viewers |= {"customer": admin.customer(customer), "earlier": admin.customer(earlier)}
    chat = {
        "messages": [
            {"author": "CUSTOMER", "body": "A walrus sang to an ocelot and a heron.", "at": "2026-03-01T12:00:00Z"}
        ]
    }
    ticket = await viewers["service"].new_ticket(description="An ocelot sat.", chat=chat)
    await admin.done("ticketAssign", "__typename", ticketId=ticket, technicianId=technician)
    await admin.done("ticketUpdate", "__typename", ticketId=ticket, customerId=earlier)
    await admin.done(
        "noteAdd", "__typename", ticketId=ticket, body="A badger dug; an ocelot and a heron too.", internalOnly=False
    )
    await admin.done("ticketUpdate", "__typename", ticketId=ticket, customerId=customer)
    await admin.done(
        "noteAdd", "__typename", ticketId=ticket, body="A lynx hid, an ocelot and a heron too.", internalOnly=True
    )
    database = await asyncpg.connect(database_url)
    await add_quoting_note(
        database, Ticket(ticket, customer=customer), "A heron stood.", "An egret, an ocelot and a heron."
    )
    await database.close()
    yield Hidden(ticket, viewers)
    for viewer in viewers.values():
        await viewer.close()


STAFF_AND = ("admin", "technician")


@pytest.mark.parametrize(
    ("word", "readers"),
    [
        ("ocelot", (*STAFF_AND, "service", "customer")),
        ("walrus", (*STAFF_AND, "service")),
        ("badger", (*STAFF_AND, "service")),
        ("lynx", STAFF_AND),
        ("heron", (*STAFF_AND, "service", "customer")),
        ("egret", (*STAFF_AND, "customer")),
    ],
)
async def test_who_may_not_read_a_text_learns_nothing_of_its_words(
    hidden: Hidden, word: str, readers: Sequence[str]
) -> None:
    for name, viewer in hidden.viewers.items():
        seen = {hidden.ticket} if name != "earlier" else set()
        expected = seen if name in readers else set()
        assert await found(viewer, word) == await found(viewer, f"ocelot {word[:4]}") == expected, name
        assert await found(viewer, None, {"or": [{"text": word}]}) == expected, name
        assert await found(viewer, "ocelot", {"not": {"text": word}}) == seen - expected, name
        everything = await found(viewer, None)
        assert (hidden.ticket in await found(viewer, None, {"not": {"text": word}})) == bool(seen - expected), name
        assert everything >= seen
        if name in readers:
            assert f"{word}" in str(await excerpts(viewer, word))


async def test_excerpts_show_no_hidden_text(hidden: Hidden) -> None:
    """Not even where a hidden one has more of the words."""
    unreadable = {"service": "lynx|egret", "customer": "lynx|badger|walrus"}
    for name, words in unreadable.items():
        for text in ("heron ocelot", "a heron", "ocelot heron an"):
            (excerpt,) = await excerpts(hidden.viewers[name], text)
            assert not re.search(words, str(excerpt)), (name, text)


# Streams


@pytest.mark.parametrize("filter", [{"text": "panel"}, {"or": [{"status": ["OPEN"]}, {"not": {"text": "panel"}}]}])
async def test_streams_refuse_texts(api: Api, filter: Filter) -> None:
    operations = (
        "subscription($f: TicketFilter) { ticketChanged(filter: $f) { __typename } }",
        "subscription($f: TicketFilter) { ticketCountsChanged(filter: $f) { all } }",
    )
    async with live(api) as dashboard:
        for number, operation in enumerate(operations):
            await dashboard.subscribe(str(number), operation, f=filter)
            message = await dashboard.receive()
            assert message["type"] == "error"
            (error,) = message["payload"]
            assert (error["extensions"]["code"], "Refetch the list" in error["message"]) == ("BAD_USER_INPUT", True)
    with pytest.raises(Refusal) as refused:
        await api("query($f: TicketFilter) { ticketEvents(filter: $f) { hasMore } }", f=filter)
    assert refused.value.codes == ["BAD_USER_INPUT"]


# Terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Hélène cannot enter", ["helene", "HÉLÈNE", "he\u0301le\u0300ne", "ｈｅｌｅｎｅ", "enter hel"]),  # noqa: RUF001
        ("Lock at O’Brien’s", ["o'brien", "o’brien's", "obriens", "O`Brien"]),
        ("Gate on Hauptstraße", ["hauptstrasse", "HAUPTSTRASSE gate"]),
        ("see https://example.com/door?id=7&x=y", ["door", "example", "id", "7", "https://example.com/door"]),
        ("write to ann.bell@example.com", ["bell", "ann.bell@example.com", "bell ann"]),
        ("It is TKT-ABC234, is it?", ["tkt-abc234", "#TKT-ABC234", "abc234"]),
        ("Вызов: Фёдор (дверь)", ["федор", "ДВЕРЬ", "выз"]),
        ("ドア、カメラが故障", ["ドア", "カメラ", "ｶﾒﾗ"]),
        ("لوحة الإنذار", ["الانذار"]),
        ("3 cameras — all dark…", ["3", "camera", "all, dark!"]),
    ],
)
async def test_words_are_found_however_they_are_typed(api: Api, text: str, terms: list[str]) -> None:
    ticket = await api.new_ticket(description=text)
    for typed in [text, *terms]:
        assert ticket in await found(api, typed), typed
    for typed in (f"{terms[0]} zzzebra", "zzzebra"):
        assert ticket not in await found(api, typed)


async def test_short_words_are_found_only_as_they_are(api: Api) -> None:
    tickets = {text: await api.new_ticket(description=text) for text in ("Oboe 3", "Oboe 30", "Oboe x3", "Oboe no 3rd")}
    assert await found(api, "oboe 3") == {tickets["Oboe 3"]}
    assert await found(api, "obo 3r") == set()
    assert await found(api, "oboe 3rd") == {tickets["Oboe no 3rd"]}
    assert await found(api, "boe") == set()


@pytest.mark.parametrize("nothing", ["'", "#", "()", "…", "\u200b", "—", "🚨"])
async def test_a_term_without_words_is_found_nowhere(api: Api, nothing: str) -> None:
    await api.new_ticket(description=f"With {nothing} inside")
    assert await found(api, nothing) == set()


@pytest.mark.parametrize("blank", ["", " \t\n", None])
async def test_a_blank_term_restricts_nothing_and_has_no_excerpts(api: Api, blank: str | None) -> None:
    await api.new_ticket()
    got = (await api(LIST, text=blank, filter={}, first=1))["tickets"]
    assert got["totalCount"] > 0
    assert got["edges"][0]["excerpt"] is None


@pytest.mark.parametrize("text", ["x" * 201, "a\0b"])
async def test_a_term_that_cannot_be_used_is_refused(api: Api, text: str) -> None:
    with pytest.raises(Refusal) as refused:
        await found(api, text)
    assert refused.value.codes == ["BAD_USER_INPUT"]


async def test_a_text_counts_as_five_conditions(api: Api) -> None:
    await found(api, None, {"or": [{"text": "zebra"}] * 19})
    with pytest.raises(Refusal) as refused:
        await found(api, None, {"or": [{"text": "zebra"}] * 21})
    assert refused.value.codes == ["LIMIT_EXCEEDED"]


# Texts


async def test_texts_that_change_are_found_as_they_are_now(api: Api) -> None:
    ticket = await api.new_ticket(description="The gramophone is loud.")
    await api.done("ticketUpdate", "__typename", ticketId=ticket, description="The phonograph is loud.")
    assert await found(api, "gramophone") == set()
    assert await found(api, "phonograph") == {ticket}
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Turned down the zither.")
    assert await found(api, "zither phonograph") == {ticket}
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="OPEN")
    assert await found(api, "zither") == set()


async def test_texts_of_any_size_are_found(api: Api) -> None:
    """A word is found by as much of it as a term can have; what a word has beyond that makes no difference."""
    ticket = await api.new_ticket(description="y" * 19_990 + " sackbut")
    assert await found(api, "sackbut") == await found(api, "y" * 64) == await found(api, "y" * 200) == {ticket}
    assert await found(api, "y" * 63 + "z") == set()
    (excerpt,) = await excerpts(api, "sackbut")
    assert excerpt[-1] == ("sackbut", True)
    async with api.service() as chatbot:
        bodies = ["crumhorn", *(" ".join(uuid.uuid4().hex for _ in range(290)) for _ in range(90))]
        messages = [{"author": "BOT", "body": body, "at": "2026-03-01T12:00:00Z"} for body in bodies]
        ticket = await chatbot.new_ticket(chat={"messages": messages})
        assert await found(chatbot, "crumhorn") == await found(chatbot, bodies[1][:30]) == {ticket}


async def test_the_excerpt_is_the_passage_with_the_most_words(api: Api) -> None:
    filler = "lorem ipsum dolor sit amet " * 20
    text = f"A clarinet. {filler}Then the Clarinét (and a <b>bassoon</b>) played.\n{filler}"
    await api.new_ticket(description=text)
    (excerpt,) = await excerpts(api, "bassoon clarin")
    passage = "".join(piece for piece, _ in excerpt)
    assert passage in text and len(passage.split()) == EXCERPT_WORDS
    assert [piece for piece, matched in excerpt if matched] == ["Clarinét", "bassoon"]
    assert passage.index("Clarinét") > 10


async def test_the_excerpt_of_a_long_run_without_blanks_is_whole_and_soon_made(database: Database) -> None:
    """Twenty take a second; half a minute if each piece is counted out from the beginning of the run."""
    text = "x" * 250 + " found"
    pieces = await database.fetch("SELECT text, matched FROM text_excerpt($1, text_queries('found'), 30)", text)
    assert [(piece["text"], piece["matched"]) for piece in pieces] == [("x" * 250 + " ", False), ("found", True)]
    long = "SELECT count(*) FROM generate_series(1, 20) AS n, text_excerpt($1 || n, text_queries('found'), 30)"
    assert await database.fetchval(long, "x" * 199_000 + " found ", timeout=WITHIN / 2) >= 20


STRETCHES = {
    "plain": ("helene", "Helene"),
    "with accents": ("helene", "H\u00e9l\u00e8ne"),
    "in decomposed accents": ("h\u00e9lene", "He\u0301le\u0300ne"),
    "with an apostrophe": ("obrien", "O\u2019Brien"),
    "a short word": ("tv", "TV"),
    "in Greek": ("\u03c0\u03bf\u03c1\u03c4\u03b1", "\u03a0\u03cc\u03c1\u03c4\u03b1"),
    "the beginning of a word": ("camer", "cameras"),
}


@pytest.mark.parametrize("kind", STRETCHES)
async def test_the_excerpt_of_a_long_text_shows_the_word_wherever_it_stands(database: Database, kind: str) -> None:
    """Also where the stretches of a text meet, at any character of the word."""
    term, written = STRETCHES[kind]
    query = """SELECT string_agg(text, '' ORDER BY ord) AS text, array_agg(text) FILTER (WHERE matched) AS matched
        FROM text_excerpt($1, text_queries($2), 30)"""
    for before in (0, STRETCH - 3, STRETCH - 1, 3 * STRETCH, 100_000):
        filler = ("outvotes recamera " * 6_000)[:before].rpartition(" ")[0]
        text = f"{filler} {'-' * max(0, before - len(filler) - 1)}{written} {'and so on ' * 4_000}"
        (passage,) = await database.fetch(query, text, term)
        assert passage["matched"] == [written], before
        assert set(passage["text"].split()) <= set(text.split()), before


async def test_the_excerpt_of_a_long_text_is_where_most_of_the_words_are(database: Database) -> None:
    filler = "lorem ipsum dolor sit amet " * 500
    text = f"{filler} clarinet {filler} clarinet bassoon {filler}"
    found = "SELECT text FROM text_excerpt($1, text_queries('bassoon clarinet tuba'), 30) WHERE matched ORDER BY ord"
    assert [row["text"] for row in await database.fetch(found, text)] == ["clarinet", "bassoon"]


# A search of many tickets takes other ways than one of few, as for `search`. These tests come last, because they add
# thousands of tickets.

MANY = 2_500
FEW = (3, 4, 700, 2_000, 2_498)
START = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
async def many(api: Api, database: Database) -> list[str]:
    """The ids of many tickets, oldest first, and older than all others. They are written by SQL, because the API would
    take long. Every second one is a technician's, and every third was created by a service."""
    ids = [f"00000000-0000-7000-8000-{n:012x}" for n in range(MANY)]
    technician = await api.new_technician()
    texts = [f"Straw {'needle' if n in FEW else ''} {'twine' if n % 50 == 0 else ''}" for n in range(MANY)]
    await database.execute(
        """INSERT INTO tickets (id, reference, subject, description, status, priority, source, creator_kind,
            creator_id, contact_name, contact_email, created_at, technician_id)
        SELECT id, 'TKT-' || translate(lpad(n::text, 6, '0'), '01', 'AB'), 'Bulk', text, 'OPEN', 'LOW', 'ADMIN',
            CASE WHEN n % 3 = 0 THEN 'SERVICE' ELSE 'ADMIN' END::actor_kind, 'bulk', 'Bulk', 'b@example.com',
            $4::timestamptz + n * interval '1 second', CASE WHEN n % 2 = 0 THEN $5::uuid END
        FROM unnest($1::uuid[], $2::int[], $3::text[]) AS given (id, n, text)""",
        ids,
        list(range(MANY)),
        texts,
        START,
        key(technician),
    )
    await database.execute("ANALYZE tickets, ticket_texts")
    await counts.recount(database)
    return [technician, *(f"tkt_{id_}" for id_ in ids)]


async def test_a_search_in_the_texts_of_many_tickets_finds_all_matches(api: Api, many: list[str]) -> None:
    technician, *ids = many
    by_priority = [{"field": "PRIORITY", "direction": "DESC"}, {"field": "CREATED_AT", "direction": "ASC"}]
    span = {"until": (START + timedelta(days=1)).isoformat()}
    cases: list[tuple[str, Filter, Callable[[int], bool]]] = [
        ("needle", {}, lambda n: n in FEW),
        ("twine straw", {"status": ["OPEN"]}, lambda n: n % 50 == 0),
        ("twine needle", {}, lambda n: n in (700, 2_000)),
        ("needle", {"createdAt": span}, lambda n: n in FEW),
        ("straw", {"assignee": {"technicianId": technician}}, lambda n: n % 2 == 0),
        ("straw zebra", {}, lambda n: False),
        ("straw", {"or": [{"text": "needle"}]}, lambda n: n in FEW),
    ]
    async with api.technician(technician) as assigned, api.service("bulk") as creator:
        viewers: list[tuple[Api, Callable[[int], bool]]] = [
            (api, lambda n: True),
            (assigned, lambda n: n % 2 == 0),
            (creator, lambda n: n % 3 == 0),
        ]
        for (viewer, sees), (text, filter, matched) in itertools.product(viewers, cases):
            wanted = [ids[n] for n in range(MANY) if sees(n) and matched(n)]
            given = {"text": text, "filter": filter}
            first = (await viewer(LIST, **given, first=30))["tickets"]
            assert [node["id"] for node in first["nodes"]] == wanted[:-31:-1], given
            assert first["totalCount"] == len(wanted), given
            last = (await viewer(LIST, **given, orderBy=by_priority, last=20))["tickets"]
            assert [node["id"] for node in last["nodes"]] == wanted[-20:], given
            if len(wanted) < 20:
                assert await pages(viewer, 3, text, filter) == wanted[::-1]


async def pages(viewer: Api, size: int, text: str, filter: Filter) -> list[str]:
    async def fetch(**way: Any) -> Any:
        return (await viewer(LIST, text=text, filter=filter, **way))["tickets"]

    return [node["id"] for node in await both_ways(fetch, size)]
