"""Searching tickets: by any part of a reference, subject or customer's name, in any case, and by nothing else."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from db.events import counts
from tests.helpers.api import Api, Refusal
from tests.helpers.paging import both_ways

Filter: TypeAlias = dict[str, Any]

SEARCH = """
query($term: String, $filter: TicketFilter!, $orderBy: [TicketOrder!], $first: Int, $after: String, $last: Int,
    $before: String) {
  tickets(filter: {search: $term, and: [$filter]}, orderBy: $orderBy, first: $first, after: $after, last: $last,
      before: $before) {
    nodes { id } totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }
"""


async def found(api: Api, term: str | None, **arguments: Any) -> set[str]:
    """Returns the ids that the search finds, after checking that `totalCount` is their number."""
    tickets = (await api(SEARCH, term=term, first=100, **{"filter": {}} | arguments))["tickets"]
    assert tickets["totalCount"] == len(tickets["nodes"])
    return {node["id"] for node in tickets["nodes"]}


async def pages(api: Api, size: int, term: str, filter: Filter, order: list[dict[str, str]] | None) -> list[str]:
    """Returns the ids of a search, read in pages of this size."""

    async def fetch(**way: Any) -> Any:
        return (await api(SEARCH, term=term, filter=filter, orderBy=order, **way))["tickets"]

    return [node["id"] for node in await both_ways(fetch, size)]


async def reference_of(api: Api, ticket: str) -> str:
    got = await api("query($id: ID!) { ticket(by: {id: $id}) { reference } }", id=ticket)
    return str(got["ticket"]["reference"])


def swapped(text: str) -> tuple[str, str, str]:
    return text.upper(), text.lower(), text.swapcase()


async def test_a_ticket_is_found_by_any_part_of_its_reference(api: Api) -> None:
    ticket = await api.new_ticket()
    reference = await reference_of(api, ticket)
    for part in (reference, reference[4:], reference[:8], reference[3:9], reference[5:]):
        for term in swapped(part):
            assert ticket in await found(api, term), term
    assert await found(api, reference) == {ticket}
    assert await found(api, f"{reference}A") == set()
    assert await found(api, reference[::-1]) == set()


async def test_a_ticket_is_found_by_any_part_of_its_subject(api: Api) -> None:
    ticket = await api.new_ticket(subject="Vestibule keypad unresponsive")
    other = await api.new_ticket(subject="Vestibule doorbell")
    for part in ("Vestibule keypad unresponsive", "keypad", "stibule key", "ypa", "unresponsive"):
        for term in swapped(part):
            assert await found(api, term) == {ticket}, term
    assert await found(api, "vestibule") == {ticket, other}
    for term in ("keypad vestibule", "unresponsive, Vestibule", "ypad  vesti", "keypad keypad"):
        assert await found(api, term) == {ticket}, term
    for term in ("keypads", "keypad-unresponsive", "keypad doorbell", "vestibule keypad unresponsive again"):
        assert await found(api, term) == set(), term


async def test_a_ticket_is_found_by_the_names_of_its_customer_and_contact(api: Api) -> None:
    customer = await api.new_customer(name="Wilhelmina Ashdown")
    chosen = await api.new_ticket(customerId=customer)
    typed = await api.new_ticket(contact={"name": "Peregrine Ashdown", "email": "p@example.com"})
    both = await api.new_ticket(customerId=customer, contact={"name": "Barnaby Thistle", "email": "b@example.com"})
    assert await found(api, "ASHDOWN") == {chosen, typed, both}
    assert await found(api, "helmina ash") == {chosen, both}
    assert await found(api, "peregrine") == {typed}
    assert await found(api, "thistle") == {both}


async def test_a_ticket_is_found_by_its_contact_customer_and_property(api: Api) -> None:
    """Each word may be in another of them."""
    customer = await api.new_customer(
        name="Quentin Oldroyd", email="q.zither@example.com", accountNumber="ZQ-77", phone="613-555-0199"
    )
    property_id = await api.new_property(customer, address="1 Marimba Way, Ottawa", accountNumber="PX/81")
    ticket = await api.new_ticket(customerId=customer, propertyId=property_id, subject="Glockenspiel rings")
    await api.new_ticket(customerId=customer, subject="Another glockenspiel")
    reference = await reference_of(api, ticket)
    for term in (
        "marimba",
        "px/81",
        "oldroyd way 1",
        "rings q.zither@example.com",
        "0199 marimba",
        f"ZQ-77 {reference}",
    ):
        assert await found(api, term) == {ticket}, term
    assert await found(api, "marimba another") == set()


async def test_nothing_else_is_searched(api: Api) -> None:
    technician = await api.new_technician(name="Xylophone Technician")
    ticket = await api.new_ticket(technicianId=technician, description="A xylophone is playing.")
    await api.done("noteAdd", "note { id }", ticketId=ticket, body="It is a xylophone.")
    await api.done("ticketResolve", "ticket { id }", ticketId=ticket, resolution="The xylophone is gone.")
    for term in ("xylophone", "RESOLVED", "GENERAL", "cus_", ticket):
        assert await found(api, term) == set(), term


async def test_no_word_spans_two_texts(api: Api) -> None:
    ticket = await api.new_ticket(
        subject="Lantern flickers", contact={"name": "Mortimer Quill", "email": "m@example.com"}
    )
    reference = await reference_of(api, ticket)
    assert await found(api, "lantern flickers") == await found(api, "mortimer quill") == {ticket}
    for between in (" ", "\n", "\t", ", "):
        assert await found(api, f"flickers{between}mortimer") == {ticket}, between
    for between in ("", "\\n", "%", "_", "-", "."):
        assert await found(api, f"flickers{between}mortimer") == set(), between
        assert await found(api, f"{reference}{between}lantern") == set(), between


async def test_a_short_word_beside_others_begins_a_word(api: Api) -> None:
    """Otherwise "camera 3" would find every camera whose reference or phone has a 3."""
    contact = {"name": "Ann", "email": "ann@example.com", "phone": "555-3333"}
    tickets = {n: await api.new_ticket(subject=f"Oboe {n}", contact=contact) for n in ("3", "#30", "13", "x3")}
    assert await found(api, "oboe 3") == await found(api, "oboe #3") == {tickets["3"], tickets["#30"]}
    assert await found(api, "oboe 333") == set(tickets.values())


@pytest.mark.parametrize(
    ("subject", "terms"),
    [
        ("Hélène cannot enter", ["helene", "HÉLÈNE", "He\u0301le\u0300ne"]),
        ("He\u0301le\u0300ne is locked out", ["hélène locked", "helene locked"]),
        ("Brûlerie Zoë is dark", ["brulerie zoe", "ZOE brûlerie"]),
        ("Lock at O’Brien’s", ["o'brien", "o’brien's", "obriens", "O`Brien", "o brien"]),
        ("Gate on Hauptstraße", ["hauptstrasse", "HAUPTSTRASSE", "hauptstraße"]),
        ("Twenty\u2011one bells", ["twenty-one", "bells twenty–one"]),  # noqa: RUF001
        ("Ｃａｍｅｒａ　１７", ["camera 17"]),  # noqa: RUF001
        ("Zero\u200bwidth door", ["zerowidth"]),
    ],
)
async def test_words_are_found_however_they_are_typed(api: Api, subject: str, terms: list[str]) -> None:
    ticket = await api.new_ticket(subject=subject)
    for term in [subject, *terms]:
        assert ticket in await found(api, term), term
    assert ticket not in await found(api, f"{terms[0]} zzz")


async def test_a_reference_is_found_however_it_is_typed(api: Api) -> None:
    ticket = await api.new_ticket()
    reference = await reference_of(api, ticket)
    code = reference.removeprefix("TKT-")
    spellings = [
        reference,
        f"[{reference}]",
        f"#{reference}",
        f"TKT{code}",
        f"TKT {code}",
        f"#{code}",
        code,
        f"({code})",
    ]
    spellings += [f"TKT\u2011{code}", f"{reference}.", f"Re: {reference}".removeprefix("Re: ")]
    for spelling in spellings:
        for term in (spelling, spelling.lower()):
            assert await found(api, term) == {ticket}, term


PHONES = [
    "+1 613-555-1234",
    "(613) 555 1234",
    "6135551234",
    "001 613 555 1234",
    "613.555.1234 ext. 12",
    "1-613-555-1234",
]


async def test_a_phone_number_is_found_however_it_is_written(api: Api) -> None:
    tickets = {
        phone: await api.new_ticket(contact={"name": "Bassoon", "email": "b@example.com", "phone": phone})
        for phone in PHONES
    }
    for term in (*PHONES, "555-1234", "5551234", "555 12 34", "６１３ ５５５ １２３４"):  # noqa: RUF001
        assert await found(api, f"bassoon {term}" if " 12 34" in term else term) >= set(tickets.values()), term
    assert await found(api, "bassoon 613-555-1234") == set(tickets.values())
    assert await found(api, "613-555-1235") == await found(api, "bassoon 613-555-4321") == set()
    in_subject = await api.new_ticket(subject="Calls to 613-555-1234 fail")
    assert in_subject in await found(api, "613-555-1234")


async def test_a_number_is_found_with_or_without_the_code_of_its_country(api: Api) -> None:
    phones = ["020 7946 0958", "+44 20 7946 0958", "0044 (0)20 7946-0958"]
    tickets = [
        await api.new_ticket(contact={"name": "Piccolo", "email": "p@example.com", "phone": phone}) for phone in phones
    ]
    for phone in phones:
        assert await found(api, phone) == set(tickets), phone


@pytest.mark.parametrize("term", ["'", "#", "()", '"', "\u200b", ",;"])
async def test_what_is_no_part_of_any_word_is_not_found(api: Api, term: str) -> None:
    await api.new_ticket(subject=f"With {term} inside")
    assert await found(api, term) == set()
    assert (await api("query($s: String) { customers(search: $s) { totalCount nodes { id } } }", s=term))[
        "customers"
    ] == {
        "totalCount": 0,
        "nodes": [],
    }


async def test_wildcards_and_quotes_are_literal(api: Api) -> None:
    subjects = ["Humidity 100% again", "Humidity 1000 again", "snake_case", "snakeXcase", "C:\\logs", "C:Xlogs"]
    subjects += ['It\'s "quoted"', "a.*b (c|d)? [e-f]", "<b>&amp;</b>", "$1 :name ?", "semi; -- colon", "a\\%b", "a%b"]
    tickets = {subject: await api.new_ticket(subject=subject) for subject in subjects}
    assert await found(api, "100%") == {tickets["Humidity 100% again"]}
    assert await found(api, "humidity 100") == {tickets["Humidity 100% again"], tickets["Humidity 1000 again"]}
    assert await found(api, "snake_case") == {tickets["snake_case"]}
    assert await found(api, "e_c") == {tickets["snake_case"]}
    assert await found(api, "c:\\logs") == {tickets["C:\\logs"]}
    assert await found(api, "a\\%b") == {tickets["a\\%b"]}
    for subject in subjects:
        assert await found(api, subject) == {tickets[subject]}, subject
    assert await found(api, "%") == {tickets[subject] for subject in subjects if "%" in subject}
    assert await found(api, "_") == {tickets["snake_case"]}
    assert await found(api, "\\") == {tickets["C:\\logs"], tickets["a\\%b"]}
    for term in ("%%", "__", "\\\\", "100_", "%again", "snake%case", "' OR true --", "a.b"):
        assert await found(api, term) == set(), term


async def test_one_or_two_characters_are_enough(api: Api) -> None:
    tickets = {subject: await api.new_ticket(subject=subject) for subject in ("ж", "жщ", "щж", "ф and жщ")}
    assert await found(api, "ж") == set(tickets.values())
    assert await found(api, "щ") == {tickets["жщ"], tickets["щж"], tickets["ф and жщ"]}
    assert await found(api, "ЖЩ") == {tickets["жщ"], tickets["ф and жщ"]}
    assert await found(api, "ЩЖ") == {tickets["щж"]}
    assert await found(api, "ф") == {tickets["ф and жщ"]}
    assert await found(api, "жж") == set()


@pytest.mark.parametrize("blank", ["", " ", " \t\n ", "\u00a0", "\u2003\u3000", None])
async def test_a_blank_search_is_no_search(api: Api, blank: str | None) -> None:
    await api.new_ticket()
    total = (await api("{ tickets { totalCount } }"))["tickets"]["totalCount"]
    got = (await api(SEARCH, term=blank, first=1, filter={}))["tickets"]
    assert got["totalCount"] == total > 0


async def test_whitespace_around_and_between_words_is_ignored(api: Api) -> None:
    plain = await api.new_ticket(subject="Gatehouse barrier stuck")
    spaced = await api.new_ticket(subject="Gatehouse   barrier\u00a0 stuck")
    for term in (
        "gatehouse barrier stuck",
        "  gatehouse barrier stuck\n",
        "Gatehouse\tbarrier  stuck",
        "barrier\u00a0stuck",
    ):
        assert await found(api, term) == {plain, spaced}, repr(term)
    assert await found(api, "gatehouse   barrier\u00a0 stuck") == {plain, spaced}
    assert await found(api, "gatehousebarrier") == set()


@pytest.mark.parametrize(
    ("subject", "terms"),
    [
        ("Türöffner im Café defekt", ["türöffner", "TÜRÖFFNER", "café", "CAFÉ", "ffner im caf"]),
        ("Дверь не закрывается", ["дверь", "ДВЕРЬ", "КРЫВ"]),
        ("ΚΆΜΕΡΑ ΣΤΟΝ ΔΡΌΜΟ", ["κάμερα", "ΚΆΜΕΡΑ", "δρόμο"]),
        ("監視カメラが映らない", ["監視カメラ", "カメラ", "映"]),
        ("لوحة الإنذار معطلة", ["الإنذار", "لوحة"]),
        ("Alarm 🚨 at the gate 👩‍🔧", ["🚨", "alarm 🚨", "👩‍🔧"]),
        ("ŻÓŁĆ na drzwiach", ["żółć", "ŻÓŁĆ", "Żół"]),
    ],
)
async def test_words_of_any_language_are_found_in_any_case(api: Api, subject: str, terms: list[str]) -> None:
    ticket = await api.new_ticket(subject=subject)
    for term in [subject, *terms]:
        assert await found(api, term) == {ticket}, term


@pytest.mark.parametrize("subject", ["İstanbul", "ΟΔΟΣ", "Straße", "ﬁlter", "ǅ", "K\u212a"])
async def test_each_text_is_found_by_itself_regardless_of_lower_casing(api: Api, subject: str) -> None:
    """Python and PostgreSQL lower-case some letters differently, which must not affect the search."""
    ticket = await api.new_ticket(subject=f"Office {subject} offline")
    assert ticket in await found(api, f"office {subject} off")
    assert ticket in await found(api, subject)


async def test_composed_and_decomposed_letters_are_the_same(api: Api) -> None:
    composed = await api.new_ticket(subject="Entr\u00e9e nord")
    decomposed = await api.new_ticket(subject="Entre\u0301e nord")
    for term in ("entr\u00e9e nord", "entre\u0301e nord"):
        assert await found(api, term) == {composed, decomposed}


async def test_a_ticket_is_found_only_by_its_new_subject(api: Api) -> None:
    ticket = await api.new_ticket(subject="Turnstile jammed")
    await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, subject="Revolving glass wing")
    assert await found(api, "turnstile") == set()
    assert await found(api, "revolving") == {ticket}


async def test_tickets_are_found_by_their_customers_new_name(api: Api) -> None:
    customer = await api.new_customer(name="Clementine Farrow")
    as_customer = await api.new_ticket(customerId=customer)
    as_contact = await api.new_ticket(customerId=customer, contact={"name": "Rufus Pellham", "email": "r@example.com"})
    other = await api.new_ticket(contact={"name": "Clementine Farrow", "email": "c@example.com"})
    assert await found(api, "clementine farrow") == {as_customer, as_contact, other}
    await api.done("customerUpdate", "customer { id }", customerId=customer, name="Clementine Vandersteen")
    assert await found(api, "vandersteen") == {as_customer, as_contact}
    assert await found(api, "pellham") == {as_contact}
    # The contact keeps the name from the ticket's creation.
    assert await found(api, "clementine farrow") == {as_customer, other}


async def test_a_ticket_is_found_only_by_its_current_customer(api: Api) -> None:
    first = await api.new_customer(name="Ottoline Grimshaw")
    second = await api.new_customer(name="Leopold Marchbanks")
    contact = {"name": "Somebody Else", "email": "s@example.com"}
    ticket = await api.new_ticket(customerId=first, contact=contact)
    await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, customerId=second, contact=contact)
    assert await found(api, "grimshaw") == set()
    assert await found(api, "marchbanks") == {ticket}
    await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, customerId=None)
    assert await found(api, "marchbanks") == set()


async def test_a_search_can_be_combined_with_every_filter(api: Api) -> None:
    technician = await api.new_technician()
    customer = await api.new_customer(name="Isolde Merriweather")
    tickets = [
        await api.new_ticket(subject=f"Periscope {n}", customerId=customer, priority=("LOW", "HIGH")[n % 2])
        for n in range(4)
    ]
    other = await api.new_ticket(subject="Periscope of somebody else", priority="HIGH")
    await api.done("ticketAssign", "ticket { id }", ticketId=tickets[3], technicianId=technician)
    await api.done("ticketSetStatus", "ticket { id }", ticketId=tickets[0], status="CLOSED")
    high = {"priority": ["HIGH"]}
    assert await found(api, "periscope", filter=high) == {tickets[1], tickets[3], other}
    assert await found(api, "periscope", filter=high | {"customerId": customer}) == {tickets[1], tickets[3]}
    assert await found(api, "periscope", filter={"assignee": {"technicianId": technician}}) == {tickets[3]}
    assert await found(api, "periscope", filter={"status": ["CLOSED"]}) == {tickets[0]}
    assert await found(api, "periscope", filter={"search": "merriweather"}) == set(tickets)
    assert await found(api, "periscope", filter={"not": {"search": "merriweather"}}) == {other}
    assert await found(api, None, filter={"or": [{"search": "periscope 0"}, {"search": "PERISCOPE 2"}]}) == {
        tickets[0],
        tickets[2],
    }


async def test_search_results_are_sorted_and_paged(api: Api) -> None:
    made = [
        await api.new_ticket(subject=f"Theodolite {n}", priority=("LOW", "URGENT", "MEDIUM")[n % 3]) for n in range(11)
    ]
    urgent_first = [{"field": "PRIORITY", "direction": "DESC"}, {"field": "CREATED_AT", "direction": "ASC"}]
    expected = made[1::3] + made[2::3] + made[0::3]
    for order, wanted in ((None, made[::-1]), (urgent_first, expected)):
        assert await pages(api, 4, "theodolite", {}, order) == wanted


async def test_a_search_finds_only_visible_tickets(api: Api) -> None:
    customer, stranger = await api.new_customer(), await api.new_customer()
    technician = await api.new_technician()
    own = await api.new_ticket(subject="Kaleidoscope one", customerId=customer)
    assigned = await api.new_ticket(subject="Kaleidoscope two", customerId=stranger, technicianId=technician)
    async with api.service() as service:
        from_chat = await service.new_ticket(subject="Kaleidoscope three")
        assert await found(service, "kaleidoscope") == {from_chat}
    async with api.customer(customer) as viewer:
        assert await found(viewer, "kaleidoscope") == {own}
    async with api.technician(technician) as viewer:
        assert await found(viewer, "kaleidoscope") == {assigned}
    assert await found(api, "kaleidoscope") == {own, assigned, from_chat}


async def test_a_service_searches_only_the_reference_the_subject_and_the_contacts_name(api: Api) -> None:
    """It learns nothing about a customer or a property that its ticket got later; staff and the customer find all."""
    customer = await api.new_customer(name="Contra Fagott", accountNumber="CB-55", email="c.b@example.com")
    site = await api.new_property(customer, address="5 Harpsichord Row", accountNumber="HR-56")
    async with api.service() as service, api.customer(customer) as owner:
        contact = {"name": "Celesta Bell", "email": "celesta@example.org", "phone": "613-555-9988"}
        ticket = await service.new_ticket(subject="Spinet rings", contact=contact)
        await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, customerId=customer, contact=contact)
        await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, propertyId=site)
        for term in ("spinet", "rings celesta", "bell spinet celesta"):
            for viewer in (api, owner, service):
                assert await found(viewer, term) == {ticket}, term
        hidden = ("fagott", "cb-55", "harpsichord", "hr-56", "celesta@example.org", "613-555-9988", "9988")
        for term in (*hidden, *(f"spinet {term}" for term in hidden)):
            assert await found(service, term) == set(), term
            assert await found(api, term) == await found(owner, term) == {ticket}, term


async def test_common_and_rare_words_are_found(api: Api) -> None:
    """With enough tickets for the planner to choose between plans."""
    common = {await api.new_ticket(subject=f"Sprinkler valve {n}") for n in range(60)}
    rare = await api.new_ticket(subject="Sprinkler valve with a gargoyle")
    assert await found(api, "sprinkler") == common | {rare}
    assert await found(api, "gargoyle") == {rare}
    assert await found(api, "sprinkler valve 5") == await found(api, "valve 5")
    assert len(await found(api, "sprinkler valve 5")) == 11


@pytest.mark.parametrize("term", ["x" * 201, " " * 201, "ä" * 300, "🚨" * 201, "y" * 100_000])
async def test_a_search_of_more_than_two_hundred_characters_is_refused(api: Api, term: str) -> None:
    with pytest.raises(Refusal) as refused:
        await found(api, term)
    assert refused.value.codes == ["BAD_USER_INPUT"]
    assert "200 characters" in refused.value.response["errors"][0]["message"]


async def test_a_search_of_two_hundred_characters_is_accepted(api: Api) -> None:
    ticket = await api.new_ticket(subject="€" * 200)
    assert await found(api, "€" * 200) == {ticket}
    assert await found(api, "%" * 200) == set()
    assert await found(api, "🚨" * 200) == set()


@pytest.mark.parametrize("term", ["a\0b", "\0", "a\ud800b", "\udfff"])
async def test_a_term_that_cannot_be_stored_is_refused(api: Api, term: str) -> None:
    escaped = "".join(f"\\u{ord(c):04x}" for c in term)
    document = f'{{ tickets(filter: {{search: "{escaped}"}}) {{ totalCount }} }}'
    with pytest.raises(Refusal) as refused:
        await api(document)
    # A lone surrogate is invalid in the document itself.
    assert refused.value.codes == ["BAD_USER_INPUT" if "\0" in term else "GRAPHQL_PARSE_FAILED"]


async def test_counts_can_be_searched(api: Api) -> None:
    await api.new_ticket(subject="Bathysphere one")
    closed = await api.new_ticket(subject="Bathysphere two")
    await api.done("ticketSetStatus", "ticket { id }", ticketId=closed, status="CLOSED")
    document = "query($term: String) { ticketCounts(filter: {search: $term}) { all open closed unassigned } }"
    counts = (await api(document, term="BATHY"))["ticketCounts"]
    assert counts == {"all": 2, "open": 1, "closed": 1, "unassigned": 2}


# A search of many tickets takes other ways than one of few: it reads the list in order if enough of it matches, or else
# fetches all matches by an index, or all tickets that the other criteria leave. These tests come last, because they add
# 30,000 tickets.

MANY = 30_000
FEW = (3, 4, 700, 15_000, 29_998)
START = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
async def many(database: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    """The ids of many tickets, oldest first. They are older than all others, and written by SQL, because the API would
    take a minute."""
    ids = [f"00000000-0000-7000-8000-{n:012x}" for n in range(MANY)]
    if await database.fetchval("SELECT true FROM tickets WHERE id = $1", ids[0]):
        return [f"tkt_{id_}" for id_ in ids]
    rare = {n: f"needle {index}" for index, n in enumerate(FEW)}
    subjects = [
        f"Straw {n} {rare.get(n, '')} {'twine' if n % 50 == 0 else ''} {'ɣʘ' if n in FEW else ''}" for n in range(MANY)
    ]
    for trigger in ("tickets_search_text", "tickets_text"):
        await database.execute(f"ALTER TABLE tickets DISABLE TRIGGER {trigger}")
    await database.execute(
        """INSERT INTO tickets (id, reference, subject, description, status, priority, category, source, creator_kind,
            creator_id, contact_name, contact_email, created_at, searchable, closed_at)
        SELECT id, 'TKT-' || translate(lpad(n::text, 6, '0'), '01', 'AB'), subject, 'Bulk', status::ticket_status,
            'LOW', 'CCTV', 'ADMIN', 'ADMIN', 'x', 'Bulk', 'b@example.com', $4::timestamptz + n * interval '1 second',
            ' ' || searchable_form(subject), CASE status WHEN 'CLOSED' THEN $4::timestamptz END
        FROM unnest($1::uuid[], $2::int[], $3::text[]) AS given (id, n, subject),
            LATERAL (SELECT CASE WHEN n % 3 = 0 THEN 'CLOSED' ELSE 'OPEN' END AS status) AS drawn""",
        ids,
        list(range(MANY)),
        subjects,
        START,
    )
    for trigger in ("tickets_search_text", "tickets_text"):
        await database.execute(f"ALTER TABLE tickets ENABLE TRIGGER {trigger}")
    await database.execute("ANALYZE tickets")
    await counts.recount(database)
    return [f"tkt_{id_}" for id_ in ids]


async def test_a_search_of_many_tickets_finds_all_matches(api: Api, many: list[str]) -> None:
    few = [many[n] for n in FEW]
    some = many[::50]
    closed_few = [many[n] for n in FEW if n % 3 == 0]
    open_some = [id_ for n, id_ in enumerate(many) if n % 50 == 0 and n % 3]
    oldest_first = [{"field": "CREATED_AT", "direction": "ASC"}]
    by_priority = [{"field": "PRIORITY", "direction": "DESC"}, {"field": "CREATED_AT", "direction": "ASC"}]
    by_status = [{"field": "STATUS", "direction": "DESC"}, {"field": "CREATED_AT", "direction": "ASC"}]
    everything: Filter = {}
    for term, filter, expected in (
        ("needle", everything, few),
        ("needle", {"status": ["CLOSED"]}, closed_few),
        ("needle", {"status": ["CLOSED", "OPEN"]}, few),
        ("needle", {"or": [{"status": ["CLOSED"]}, {"search": "needle 1"}]}, [many[n] for n in (3, 4, 15_000)]),
        ("ɣʘ", everything, few),
        ("ʘ", {"status": ["OPEN"]}, [id_ for id_ in few if id_ not in closed_few]),
        ("twine", everything, some),
        ("twine", {"status": ["OPEN"]}, open_some),
        ("needle straw twine", everything, [many[700], many[15_000]]),
        ("twine needle", {"status": ["CLOSED"]}, [many[15_000]]),
        ("straw twine thread", everything, []),
        ("needle", {"createdAt": {"until": (START + timedelta(days=1)).isoformat()}}, few),
        ("needle", {"createdAt": {"until": (START + timedelta(seconds=701)).isoformat()}}, few[:3]),
        ("twine", {"createdAt": {"from": (START + timedelta(seconds=15_000)).isoformat()}}, some[300:]),
        (" wi", {"not": {"status": ["CLOSED"]}, "priority": ["LOW"]}, open_some),
    ):
        assert await pages(api, 100, term, filter, None) == expected[::-1], (term, filter)
        for order in (oldest_first, by_priority):
            assert await pages(api, 100, term, filter, order) == expected, (term, filter)
    assert (await pages(api, 2, "needle", everything, None)) == few[::-1]
    # All tickets match the term, and enough of the first ones match the rest: the list is read in order.
    hidden = {"or": [{"search": "needle"}]}
    closed_first = sorted(few, key=lambda id_: id_ not in closed_few)
    assert await pages(api, 2, "straw", hidden, None) == few[::-1]
    for filter in (hidden, hidden | {"status": ["CLOSED", "OPEN"]}, hidden | {"source": ["ADMIN"]}):
        for order in (oldest_first, by_priority):
            assert await pages(api, 2, "straw", filter, order) == few, (filter, order)
        assert await pages(api, 2, "straw", filter, by_status) == closed_first, filter
    # All tickets match the term, and few match the rest, which has an index.
    technician = await api.new_technician()
    for id_ in few:
        await api.done("ticketAssign", "ticket { id }", ticketId=id_, technicianId=technician)
    for term in ("straw", "straw 15", "needle", "ʘ"):
        wanted = [id_ for id_ in few if term != "straw 15" or id_ == many[15_000]]
        assert await pages(api, 3, term, {"assignee": {"technicianId": technician}}, oldest_first) == wanted
    assert (await pages(api, 3, "ɣʘ", {"status": ["OPEN", "CLOSED"]}, oldest_first)) == few


COUNTS = "query($filter: TicketFilter) { ticketCounts(filter: $filter) { all open closed unassigned } }"


async def test_a_technician_with_many_tickets_sees_assigned_and_created_ones_once(
    api: Api, many: list[str], database: asyncpg.Connection[asyncpg.Record]
) -> None:
    """They are too many to be fetched and sorted. Every second ticket is assigned to the technician, who has also
    created some tickets, assigned and unassigned ones; each appears once."""
    technician = await api.new_technician()
    number = "('x' || right(id::text, 12))::bit(48)::bigint"
    theirs = f"UPDATE tickets SET technician_id = $1 WHERE id = ANY ($2::uuid[]) AND {number} % 2 = 0"
    made = f"UPDATE tickets SET creator_kind = 'TECHNICIAN', creator_id = $1 WHERE id = ANY ($2::uuid[]) AND {number}"
    ids, key = [id_.partition("_")[2] for id_ in many], technician.partition("_")[2]
    await database.execute(theirs, key, ids)
    await database.execute(f"{made} % 2500 <= 1", key, ids)
    await counts.recount(database)

    seen = [n for n in range(MANY) if n % 2 == 0 or n % 2500 == 1]
    status = ["CLOSED" if n % 3 == 0 else "OPEN" for n in range(MANY)]
    everything: Filter = {}
    orders: tuple[tuple[list[dict[str, str]], list[int]], ...] = (
        ([{"field": "CREATED_AT", "direction": "DESC"}], seen[::-1]),
        ([{"field": "PRIORITY", "direction": "ASC"}, {"field": "CREATED_AT", "direction": "ASC"}], seen),
        (
            [{"field": "STATUS", "direction": "DESC"}, {"field": "CREATED_AT", "direction": "DESC"}],
            [n for state in ("CLOSED", "OPEN") for n in seen[::-1] if status[n] == state],
        ),
        ([{"field": "STATUS", "direction": "ASC"}], sorted(seen, key=lambda n: status[n], reverse=True)),
    )
    async with api.technician(technician) as viewer:
        everywhere: tuple[tuple[str | None, Filter], ...] = (
            (None, {"status": ["OPEN"], "category": ["CCTV"]}),
            ("twine", {"not": {"status": ["CLOSED"]}}),
        )
        newest_first: tuple[tuple[str | None, Filter], ...] = (
            (None, everything),
            (None, {"assignee": {"me": False}}),
            ("straw", everything),
            ("needle", everything),
        )
        for (order, expected), (term, filter) in (
            *itertools.product(orders, everywhere),
            *itertools.product(orders[:1], newest_first),
        ):
            wanted = [
                many[n]
                for n in expected
                if status[n] in filter.get("status", ["CLOSED", "OPEN"])
                and not ("assignee" in filter and n % 2 == 0)
                and (term != "twine" or (n % 50 == 0 and n % 3))
                and (term != "needle" or n in FEW)
            ]
            given = {"term": term, "filter": filter, "orderBy": order}
            first = (await viewer(SEARCH, **given, first=100))["tickets"]
            assert ([node["id"] for node in first["nodes"]], first["totalCount"]) == (wanted[:100], len(wanted)), given
            last = (await viewer(SEARCH, **given, last=100))["tickets"]
            assert [node["id"] for node in last["nodes"]] == wanted[-100:], given
            assert (len(wanted) > 100) is (term != "needle" and "assignee" not in filter), given
            if len(wanted) > 100:
                cursors = first["pageInfo"]["endCursor"], last["pageInfo"]["startCursor"]
                after = (await viewer(SEARCH, **given, first=50, after=cursors[0]))["tickets"]["nodes"]
                before = (await viewer(SEARCH, **given, last=50, before=cursors[1]))["tickets"]["nodes"]
                assert [node["id"] for node in after] == wanted[100:150], given
                assert [node["id"] for node in before] == wanted[max(0, len(wanted) - 150) : -100], given
        closed = sum(status[n] == "CLOSED" for n in seen)
        expected_counts = {"all": len(seen), "open": len(seen) - closed, "closed": closed, "unassigned": MANY // 2500}
        assert (await viewer(COUNTS, filter={}))["ticketCounts"] == expected_counts
        assert (await viewer(COUNTS, filter={"status": ["CLOSED"]}))["ticketCounts"]["all"] == closed
