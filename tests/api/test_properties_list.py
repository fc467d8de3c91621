"""The list of properties, and its search."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.api import Api, Refusal

FOUND = """query($search: String, $customer: ID) {
  properties(search: $search, customerId: $customer) { totalCount nodes { address } }
}"""


async def found(client: Api, search: str, **variables: Any) -> list[str]:
    page = (await client(FOUND, search=search, **variables))["properties"]
    assert page["totalCount"] == len(page["nodes"])
    return [node["address"] for node in page["nodes"]]


@pytest.fixture(scope="module")
async def elm(server: Any) -> str:
    async with Api(server) as api:
        customer = await api.new_customer(name="Elm Dental")
        await api.new_property(customer, address="12 Élm Street, Ottawa", accountNumber="P-77")
        await api.new_property(customer, address="9 Oak Lane, Gatineau", accountNumber="P-78")
        other = await api.new_customer(name="Oak Bakery")
        await api.new_property(other, address="3 Oak Lane, Ottawa", accountNumber="Q-77")
        return customer


async def test_words_of_the_address_and_the_account_number_find_a_property(api: Api, elm: str) -> None:
    for search, expected in {
        "elm": ["12 Élm Street, Ottawa"],
        "ottawa 12": ["12 Élm Street, Ottawa"],
        "p-77": ["12 Élm Street, Ottawa"],
        "77": ["12 Élm Street, Ottawa", "3 Oak Lane, Ottawa"],
        "oak lane": ["3 Oak Lane, Ottawa", "9 Oak Lane, Gatineau"],
        "oak p-78": ["9 Oak Lane, Gatineau"],
        " ": ["12 Élm Street, Ottawa", "3 Oak Lane, Ottawa", "9 Oak Lane, Gatineau"],
        "%": [],
        "bakery": [],  # of the customer's name
        "elm gatineau": [],  # of two properties
    }.items():
        assert await found(api, search) == expected, search
    assert await found(api, "oak", customer=elm) == ["9 Oak Lane, Gatineau"]


async def test_nobody_finds_a_property_that_they_do_not_see(api: Api, elm: str) -> None:
    async with api.customer(elm) as owner:
        assert await found(owner, "oak") == ["9 Oak Lane, Gatineau"]
    technician = await api.new_technician()
    async with api.technician(technician) as tess:
        assert await found(tess, "oak") == []


async def test_too_long_a_search_is_refused(api: Api) -> None:
    with pytest.raises(Refusal) as refusal:
        await found(api, "x" * 201)
    assert refusal.value.codes == ["BAD_USER_INPUT"]
