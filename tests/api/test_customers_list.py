"""The lists to choose from: customers while typing, properties, technicians and articles."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from tests.helpers.api import Api, Refusal
from tests.helpers.paging import both_ways

CUSTOMERS = """
query($search: String, $first: Int, $after: String, $last: Int, $before: String) {
  customers(search: $search, first: $first, after: $after, last: $last, before: $before) {
    nodes { id name } totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }
"""
ARTICLES = CUSTOMERS.replace("customers", "articles").replace("name", "name: problem")
ARTICLES = ARTICLES.replace("$search: String,", "$search: String, $published: Boolean,")
ARTICLES = ARTICLES.replace("search: $search,", "search: $search, published: $published,")
TECHNICIANS = (
    "query($active: Boolean) { technicians(active: $active, first: 100) { nodes { id name active } totalCount } }"
)
PROPERTIES = """query($customer: ID) { properties(customerId: $customer, first: 100) {
  nodes { id address } totalCount } }"""
NOBODY = "00000000-0000-7000-8000-000000000000"


async def names(api: Api, document: str, field: str, **arguments: Any) -> list[str]:
    """Returns the names on the only page."""
    got = (await api(document, first=100, **arguments))[field]
    assert got["totalCount"] == len(got["nodes"])
    return [node["name"] for node in got["nodes"]]


async def found(api: Api, search: str | None) -> list[str]:
    """Returns the names of the customers found, best first."""
    return await names(api, CUSTOMERS, "customers", search=search)


async def every_page(api: Api, document: str, field: str, size: int, **arguments: Any) -> list[dict[str, str]]:
    """Returns the nodes of the list, read in pages of this size."""

    async def fetch(**way: Any) -> Any:
        return (await api(document, **arguments, **way))[field]

    return await both_ways(fetch, size)


async def named_pages(api: Api, document: str, field: str, size: int, **arguments: Any) -> list[str]:
    """Returns the names of the list, read in pages of this size."""
    return [node["name"] for node in await every_page(api, document, field, size, **arguments)]


# Customers


async def test_customers_are_found_by_part_of_name_email_and_account_number(api: Api) -> None:
    await api.new_customer(name="Wilhelmina Ashdown", email="w.ash@mill.example", accountNumber="QX-7301")
    for part in ("Wilhelmina Ashdown", "helmina", "ashd", "w.ash@mill.example", "mill.ex", "QX-7301", "x-73", "7301"):
        for term in (part, part.upper(), part.lower(), f"  {part} "):
            assert await found(api, term) == ["Wilhelmina Ashdown"], term
    for term in ("ashdown  wilhel", "ashdown w.ash", "7301, helmina"):
        assert await found(api, term) == ["Wilhelmina Ashdown"], term
    for term in ("ashdownw.ash", "mill.exampleqx", "7302", "ashdown 7302"):
        assert await found(api, term) == [], term


async def test_customers_are_found_by_phone_and_properties(api: Api) -> None:
    customer = await api.new_customer(name="Gwendolen Ives", phone="+1 343-555-0142 ext. 7")
    other = await api.new_customer(name="Gwendolen Other", phone=None)
    await api.new_property(customer, address="12 Tuba Street", accountNumber="TU-1")
    site = await api.new_property(customer, address="3 Cornet Quay", accountNumber="TU-2")
    for term in (
        "(343) 555-0142",
        "3435550142",
        "001 343 555 0142",
        "555-0142",
        "0142 ives",
        "tuba 12",
        "tu-2",
        "ives cornet tuba",
    ):
        assert await found(api, term) == ["Gwendolen Ives"], term
    assert await found(api, "tuba other") == []
    await api.done("propertyUpdate", "__typename", propertyId=site, address="4 Trombone Quay")
    assert await found(api, "cornet") == []
    assert await found(api, "gwendolen trombone tuba") == ["Gwendolen Ives"]
    await api.done("customerUpdate", "__typename", customerId=other, phone="343 555 0143", name="Gwendolen Oß")
    assert await found(api, "tuba ives") == ["Gwendolen Ives"]
    assert await found(api, "oss 343-555-0143") == ["Gwendolen Oß"]


async def test_names_are_found_and_sorted_without_their_accents(api: Api) -> None:
    names = ("Hélène Zuber", "Helene Ämter", "HÉLENE Bähr", "He\u0301le\u0300ne Ziem")
    for name in names:
        await api.new_customer(name=name)
    expected = ["Helene Ämter", "HÉLENE Bähr", "He\u0301le\u0300ne Ziem", "Hélène Zuber"]
    for term in ("helene", "Hélène", "HE\u0301LE", "helen"):
        assert await found(api, term) == expected, term
    assert await named_pages(api, CUSTOMERS, "customers", 1, search="hélène") == expected
    assert await found(api, "amter") == ["Helene Ämter"]


async def test_the_best_match_comes_first(api: Api) -> None:
    """A whole account number or its beginning; then the beginning of a name, address or word; then any other part."""
    ranked: Sequence[tuple[str, str, str]] = (
        ("Zara Whole", "zw@example.com", "MARLOW"),
        ("Marlow in Every Way", "marlow@example.com", "MARLOW-1"),
        ("Yves Begun", "yb@example.com", "MARLOW-22"),
        ("Marlow Xenia", "x@example.com", "R-3"),
        ("William Address", "marlow.w@example.com", "R-4"),
        ("Victor Marlowe", "v@example.com", "R-5"),
        ("Ursula Tamarlow", "u@example.com", "R-6"),
    )
    technician = await api.new_technician()
    for name, email, account in ranked[::-1]:
        customer = await api.new_customer(name=name, email=email, accountNumber=account)
        await api.new_ticket(customerId=customer, technicianId=technician)
    expected = [name for name, _, _ in ranked]
    async with api.technician(technician) as other:
        for viewer in (api, other):
            for term in ("marlow", "MARLOW", " Marlow "):
                assert await found(viewer, term) == expected
            for size in (1, 2, 5):
                assert await named_pages(viewer, CUSTOMERS, "customers", size, search="marlow") == expected


async def test_equally_good_matches_are_sorted_by_name(api: Api) -> None:
    for n in (3, 1, 5, 2, 4):
        await api.new_customer(name=f"Grantchester {n}", email=f"g{n}@example.com", accountNumber=f"G-{n}")
    expected = [f"Grantchester {n}" for n in range(1, 6)]
    assert await found(api, "grantch") == await found(api, "antchest") == expected
    assert await named_pages(api, CUSTOMERS, "customers", 2, search="grantch") == expected


async def test_customers_of_the_same_name_each_appear_once(api: Api) -> None:
    ids = {await api.new_customer(name="Evelyn Sprocket") for _ in range(7)}
    seen = [node["id"] for node in await every_page(api, CUSTOMERS, "customers", 3, search="sprocket")]
    assert len(seen) == 7
    assert set(seen) == ids


async def test_the_list_narrows_with_each_typed_character(api: Api) -> None:
    for name in ("Hollingworth Security", "Hollingsworth Bakery", "Hollis Dental"):
        await api.new_customer(name=name)
    typed = [await found(api, "hollingsworth b"[:length]) for length in range(5, 16)]
    assert typed[0] == ["Hollingsworth Bakery", "Hollingworth Security", "Hollis Dental"]
    assert typed[1] == ["Hollingsworth Bakery", "Hollingworth Security"]
    assert typed[-1] == ["Hollingsworth Bakery"]
    assert all(set(later) <= set(earlier) for earlier, later in itertools.pairwise(typed))


async def test_one_or_two_characters_are_enough(api: Api) -> None:
    await api.new_customer(name="ꙮ Œuvre", accountNumber="ꙮ1")
    await api.new_customer(name="The ꙮ")
    assert await found(api, "ꙮ") == ["ꙮ Œuvre", "The ꙮ"]
    assert await found(api, "ꙮ1") == ["ꙮ Œuvre"]
    assert await found(api, "œu") == ["ꙮ Œuvre"]


async def test_letters_of_any_language_match_in_any_case(api: Api) -> None:
    for name in ("Żaneta Łoś", "Дмитрий Щукин", "Σοφία Ψαρρά", "Æskø Ølgård", "山田太郎"):
        await api.new_customer(name=name)
        for term in (name, name.upper(), name.lower(), name.split()[-1].upper(), name[1:4].lower()):
            assert await found(api, term) == [name], term


async def test_wildcards_and_quotes_are_literal(api: Api) -> None:
    for name in ("100% Doors", "1000 Doors", "Under_score", "UnderXscore", "Back\\slash", "O'Neill; DROP"):
        await api.new_customer(name=name)
    assert await found(api, "100%") == ["100% Doors"]
    assert await found(api, "r_s") == ["Under_score"]
    assert await found(api, "back\\slash") == ["Back\\slash"]
    assert await found(api, "o'neill; drop") == ["O'Neill; DROP"]
    for term in ("%", "_", "\\"):
        assert len(await found(api, term)) == 1, term
    for term in ("%%", "100%%", "' OR true --", ".*", "back\\\\slash"):
        assert await found(api, term) == [], term


async def test_a_renamed_customer_is_found_only_by_the_new_name(api: Api) -> None:
    customer = await api.new_customer(name="Penelope Birdsong")
    await api.done("customerUpdate", "customer { id }", customerId=customer, name="Penelope Ravenscroft")
    assert await found(api, "ravens") == ["Penelope Ravenscroft"]
    assert await found(api, "birdsong") == []


@pytest.mark.parametrize("blank", [None, "", "  \t"])
async def test_without_a_search_all_customers_are_listed_by_name(api: Api, blank: str | None) -> None:
    first = ["Aardvark Alarms", "aardvark barriers", "AARDVARK CAMERAS", "Aardvark Doors"]
    for name in first[::-1]:
        await api.new_customer(name=name)
    listed = await names(api, CUSTOMERS, "customers", search=blank)
    plain = [name for name in listed if re.fullmatch(r"[A-Za-z ]+", name)]
    assert plain == sorted(plain, key=str.lower)
    assert list(dict.fromkeys(plain))[:4] == first
    assert await named_pages(api, CUSTOMERS, "customers", 7, search=blank) == listed


async def test_a_cursor_of_a_search_is_refused_without_the_search(api: Api) -> None:
    await api.new_customer(name="Bartholomew One")
    await api.new_customer(name="Bartholomew Two")
    searched = (await api(CUSTOMERS, search="bartholomew", first=1))["customers"]["pageInfo"]["endCursor"]
    listed = (await api(CUSTOMERS, first=1))["customers"]["pageInfo"]["endCursor"]
    for search, cursor in ((None, searched), ("bartholomew", listed), ("bartholomew", "x"), ("bartholomew", "")):
        for arguments in ({"first": 1, "after": cursor}, {"last": 1, "before": cursor}):
            with pytest.raises(Refusal) as refused:
                await api(CUSTOMERS, search=search, **arguments)
            assert refused.value.codes == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("search", ["x" * 201, "a\0b", "x" * 100_000])
async def test_an_invalid_search_term_is_refused(api: Api, search: str) -> None:
    for document in (CUSTOMERS, ARTICLES):
        with pytest.raises(Refusal) as refused:
            await api(document, search=search)
        assert refused.value.codes == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("arguments", [{"first": 0}, {"first": 101}, {"last": -1}, {"first": 1, "last": 1}])
async def test_pages_of_these_lists_are_limited_too(api: Api, arguments: dict[str, int]) -> None:
    for document in (CUSTOMERS, ARTICLES):
        for search in (None, "x"):
            with pytest.raises(Refusal) as refused:
                await api(document, search=search, **arguments)
            assert refused.value.codes == ["BAD_USER_INPUT"]


async def test_a_search_finds_only_customers_that_its_viewer_sees(api: Api) -> None:
    known = await api.new_customer(name="Quillfeather Known")
    await api.new_customer(name="Quillfeather Unknown")
    technician = await api.new_technician()
    await api.new_ticket(customerId=known, technicianId=technician)
    assert await found(api, "quillfeather") == ["Quillfeather Known", "Quillfeather Unknown"]
    for viewer in (api.technician(technician), api.customer(known)):
        async with viewer:
            assert await found(viewer, "quillfeather") == ["Quillfeather Known"]
            assert await found(viewer, "unknown") == []
            assert await names(viewer, CUSTOMERS, "customers") == ["Quillfeather Known"]
    async with api.service() as service:
        assert await found(service, "quillfeather") == []


async def test_a_technician_does_not_find_customers_by_their_properties(api: Api) -> None:
    """They do not see all of them."""
    customer, technician = await api.new_customer(name="Sackbut Ltd", phone="343-555-0177"), await api.new_technician()
    await api.new_property(customer, address="2 Hidden Road", accountNumber="SB-2")
    await api.new_ticket(customerId=customer, technicianId=technician)
    async with api.technician(technician) as viewer, api.customer(customer) as owner:
        for term in ("sackbut", "ltd sackbut", "3435550177"):
            assert await found(viewer, term) == ["Sackbut Ltd"], term
        for term in ("hidden", "sb-2", "sackbut hidden", "road 2 hidden"):
            assert await found(viewer, term) == [], term
            assert await found(owner, term) == await found(api, term) == ["Sackbut Ltd"], term


# Properties


async def test_properties_of_a_customer_are_listed_by_address(api: Api) -> None:
    customer, other = await api.new_customer(), await api.new_customer()
    for address in ("9 Birch Road", "12 Ash Lane", "9 Birch Close"):
        await api.new_property(customer, address=address)
    await api.new_property(other, address="1 Cedar Walk")
    got = (await api(PROPERTIES, customer=customer))["properties"]
    assert [node["address"] for node in got["nodes"]] == ["12 Ash Lane", "9 Birch Close", "9 Birch Road"]
    assert got["totalCount"] == 3
    for none in (f"cus_{NOBODY}", await api.new_customer()):
        assert (await api(PROPERTIES, customer=none))["properties"] == {"nodes": [], "totalCount": 0}
    addresses = [node["address"] for node in (await api(PROPERTIES))["properties"]["nodes"]]
    assert addresses == sorted(addresses)
    assert {"1 Cedar Walk", "12 Ash Lane"} <= set(addresses)
    assert (await api(PROPERTIES, customer=None))["properties"]["totalCount"] == len(addresses)


@pytest.mark.parametrize("id_", ["", "x", NOBODY, f"prp_{NOBODY}", "cus_x"])
async def test_the_customer_of_properties_must_be_a_customers_id(api: Api, id_: str) -> None:
    with pytest.raises(Refusal) as refused:
        await api(PROPERTIES, customer=id_)
    assert refused.value.codes == ["BAD_USER_INPUT"]


async def test_each_role_sees_only_its_own_properties(api: Api) -> None:
    customer, other = await api.new_customer(), await api.new_customer()
    technician = await api.new_technician()
    visited = await api.new_property(customer)
    await api.new_property(customer)
    await api.new_property(other)
    await api.new_ticket(customerId=customer, propertyId=visited, technicianId=technician)

    async def seen(viewer: Api, **arguments: Any) -> int:
        count: int = (await viewer(PROPERTIES, **arguments))["properties"]["totalCount"]
        return count

    assert await seen(api, customer=customer) == 2
    async with api.customer(customer) as viewer:
        assert (await seen(viewer), await seen(viewer, customer=customer), await seen(viewer, customer=other)) == (
            2,
            2,
            0,
        )
    async with api.technician(technician) as viewer:
        assert (await seen(viewer), await seen(viewer, customer=customer), await seen(viewer, customer=other)) == (
            1,
            1,
            0,
        )


# Technicians


async def test_technicians_are_filtered_by_activity(api: Api) -> None:
    away = await api.new_technician(name="Bert Away")
    await api.new_technician(name="Carl Here")
    await api.new_technician(name="Anna Here")
    await api.done("technicianUpdate", "technician { id }", technicianId=away, active=False)

    async def listed(**arguments: Any) -> list[tuple[str, bool]]:
        got = (await api(TECHNICIANS, **arguments))["technicians"]
        assert got["totalCount"] == len(got["nodes"])
        people = [(node["name"], node["active"]) for node in got["nodes"]]
        return [person for person in people if not person[0].startswith("Technician")]

    assert await listed(active=True) == [("Anna Here", True), ("Carl Here", True)]
    assert await listed(active=False) == [("Bert Away", False)]
    everybody = [("Anna Here", True), ("Bert Away", False), ("Carl Here", True)]
    assert await listed() == await listed(active=None) == everybody
    await api.done("technicianUpdate", "technician { id }", technicianId=away, active=True)
    assert await listed(active=False) == []


async def test_a_technician_sees_themselves_and_their_colleagues_on_a_ticket(api: Api) -> None:
    one, two, _ = [await api.new_technician(name=f"Technician of {word}") for word in ("one", "two", "none")]
    async with api.technician(one) as viewer:
        got = (await viewer(TECHNICIANS))["technicians"]
        assert [node["id"] for node in got["nodes"]] == [one]
        own = await viewer.new_ticket()
        await api.done("ticketAssign", "ticket { id }", ticketId=own, technicianId=two)
        assert {node["id"] for node in (await viewer(TECHNICIANS))["technicians"]["nodes"]} == {one, two}


# Articles


async def write(api: Api, problem: str, solution: str = "Nothing helps.", *, published: bool = True) -> str:
    made = await api.done("articleCreate", "article { id }", problem=problem, solution=solution, published=published)
    return str(made["article"]["id"])


async def read(api: Api, search: str | None, published: bool | None = None) -> list[str]:
    return await names(api, ARTICLES, "articles", search=search, published=published)


async def test_articles_are_found_by_words_in_any_of_their_forms(api: Api) -> None:
    await write(api, "Keypads freezing in winter", "Replace the batteries and insulate.")
    for search in ("keypad", "KEYPADS", "freeze", "winters", "battery", "insulating keypads", "the winter's keypad"):
        assert await read(api, search) == ["Keypads freezing in winter"], search
    for search in ("summer", "eypad"):
        assert await read(api, search) == [], search


async def test_addresses_and_file_names_in_articles_are_found_literally(api: Api) -> None:
    await write(api, "Whom to ask", "Write to gate_support@example.com, or see manuals/gate_v2.pdf and 50%_off.")
    for search in ("gate_support@example.com", "manuals/gate_v2.pdf", "50%_off"):
        assert await read(api, search) == ["Whom to ask"], search


async def test_a_match_in_the_problem_ranks_above_one_in_the_solution(api: Api) -> None:
    await write(api, "Turnstile stuck", "Oil it.")
    await write(api, "Gate stuck", "Look at the turnstile, then at the turnstile again.")
    await write(api, "Turnstile of the turnstile", "Turnstile, turnstile.")
    assert await read(api, "turnstile") == ["Turnstile of the turnstile", "Turnstile stuck", "Gate stuck"]
    assert await named_pages(api, ARTICLES, "articles", 1, search="turnstile") == await read(api, "turnstile")
    assert await named_pages(api, ARTICLES, "articles", 2, search="turnstile") == await read(api, "turnstile")


async def test_equally_good_articles_are_paged_without_a_gap(api: Api) -> None:
    ids = {await write(api, "Periscope misted") for _ in range(9)}
    seen = [node["id"] for node in await every_page(api, ARTICLES, "articles", 2, search="periscope")]
    assert len(seen) == 9
    assert set(seen) == ids


async def test_an_edited_article_is_found_only_by_its_new_text(api: Api) -> None:
    article = await write(api, "Hygrometer wrong")
    await api.done("articleUpdate", "article { id }", articleId=article, problem="Barometer wrong")
    assert await read(api, "hygrometer") == []
    assert await read(api, "barometer") == ["Barometer wrong"]


@pytest.mark.parametrize(
    "search",
    [
        "a & b",
        "!",
        "| |",
        "(",
        ")",
        ":*",
        "'",
        "''",
        "\\",
        '"',
        '"unclosed',
        "<->",
        "the",
        "and or not",
        "-",
        "a:b",
        "🚨",
        "%",
        "_",
    ],
)
async def test_any_text_may_be_searched_for_in_articles(api: Api, search: str) -> None:
    """No term has a syntax error."""
    await write(api, "Something ordinary")
    assert await named_pages(api, ARTICLES, "articles", 3, search=search) == await read(api, search)
    assert "Something ordinary" not in await read(api, f"{search} sextant")


@pytest.mark.parametrize("blank", [None, "", " \n"])
async def test_without_a_search_articles_are_listed_newest_first(
    api: Api, blank: str | None, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    first = await write(api, "Older")
    last = await write(api, "Newer", published=False)
    rows = await database.fetch("SELECT id FROM articles ORDER BY created_at DESC, id DESC")
    got = (await api(ARTICLES, search=blank, first=100))["articles"]
    listed = [node["id"] for node in got["nodes"]]
    assert listed == [f"art_{row['id']}" for row in rows]
    assert listed[:2] == [last, first]
    assert await named_pages(api, ARTICLES, "articles", 5, search=blank) == [node["name"] for node in got["nodes"]]


async def test_articles_are_filtered_by_publication(api: Api) -> None:
    await write(api, "Dehumidifier public")
    hidden = await write(api, "Dehumidifier hidden", published=False)
    assert set(await read(api, "dehumidifier")) == {"Dehumidifier public", "Dehumidifier hidden"}
    assert await read(api, "dehumidifier", published=True) == ["Dehumidifier public"]
    assert await read(api, "dehumidifier", published=False) == ["Dehumidifier hidden"]
    every = set(await read(api, None))
    assert set(await read(api, None, published=True)) | set(await read(api, None, published=False)) == every
    technician, customer = await api.new_technician(), await api.new_customer()
    async with api.technician(technician) as viewer:
        assert set(await read(viewer, "dehumidifier")) == {"Dehumidifier public", "Dehumidifier hidden"}
    for viewer in (api.customer(customer), api.service()):
        async with viewer:
            assert await read(viewer, "dehumidifier") == ["Dehumidifier public"]
            assert await read(viewer, "dehumidifier", published=False) == []
            assert await read(viewer, "hidden") == []
            assert await read(viewer, None) == await read(api, None, published=True)
    await api.done("articleUpdate", "article { id }", articleId=hidden, published=True)
    async with api.service() as viewer:
        assert len(await read(viewer, "dehumidifier")) == 2
