"""A ticket that follows up another: each is found from the other, by those who see both."""

from __future__ import annotations

from typing import Any

from tests.helpers.api import Api
from tests.helpers.database_checks import Database, key

BOTH = "query($id: ID!) { ticket(by: {id: $id}) { followUpOf { id } followUps { totalCount nodes { id } } } }"


async def linked(viewer: Api, ticket: str) -> tuple[str | None, list[str]]:
    """The ticket that this one follows up, and those that follow it up, as the viewer sees them."""
    found: Any = (await viewer(BOTH, id=ticket))["ticket"]
    nodes = [each["id"] for each in found["followUps"]["nodes"]]
    assert found["followUps"]["totalCount"] == len(nodes)
    return found["followUpOf"] and found["followUpOf"]["id"], nodes


async def test_nobody_learns_of_a_follow_up_that_they_do_not_see(api: Api, database: Database) -> None:
    """Nor of the ticket that theirs follows up."""
    ann, ben = await api.new_customer(), await api.new_customer()
    tess = await api.new_technician()
    first = await api.new_ticket(customerId=ann, technicianId=tess)
    second, third = await api.new_ticket(customerId=ben), await api.new_ticket(customerId=ann)
    await database.execute(
        "UPDATE tickets SET follows_id = $1 WHERE id = ANY($2)", key(first), [key(second), key(third)]
    )
    async with api.customer(ann) as owner, api.customer(ben) as other, api.technician(tess) as worker:
        assert await linked(api, first) == (None, [second, third])
        assert await linked(owner, first) == (None, [third])
        assert await linked(worker, first) == (None, [])
        assert await linked(api, second) == await linked(owner, third) == (first, [])
        assert await linked(other, second) == (None, [])
