"""Reads a list page by page, and checks that the page information is consistent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Fetch: TypeAlias = Callable[..., Awaitable[dict[str, Any]]]
"""Gives the page for `first` and `after`, or `last` and `before`: `nodes`, `totalCount` and the whole `pageInfo`."""


async def forwards(fetch: Fetch, size: int) -> list[Any]:
    """Returns all nodes of the list, in order, read in pages from its start."""
    found: list[Any] = []
    after, more = None, True
    while more:
        page = await fetch(first=size, after=after)
        info = page["pageInfo"]
        assert info["hasPreviousPage"] is bool(found)
        found += page["nodes"]
        after, more = info["endCursor"], info["hasNextPage"]
        _check(page, size, len(found), more=more)
    return found


async def backwards(fetch: Fetch, size: int) -> list[Any]:
    """Returns all nodes of the list, in order too, read in pages from its end."""
    found: list[Any] = []
    before, more = None, True
    while more:
        page = await fetch(last=size, before=before)
        info = page["pageInfo"]
        assert info["hasNextPage"] is bool(found)
        found = page["nodes"] + found
        before, more = info["startCursor"], info["hasPreviousPage"]
        _check(page, size, len(found), more=more)
    return found


async def both_ways(fetch: Fetch, size: int) -> list[Any]:
    """Returns all nodes of the list, after checking that they are the same from either end."""
    found = await forwards(fetch, size)
    assert await backwards(fetch, size) == found
    return found


def _check(page: dict[str, Any], size: int, found: int, *, more: bool) -> None:
    """Checks that only the last page is short, and that there are no more nodes than expected, because a list that
    repeats itself would never end."""
    if more:
        assert len(page["nodes"]) == size
        assert found < page["totalCount"]
    else:
        assert found == page["totalCount"]
