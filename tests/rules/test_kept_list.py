"""The rows of a live window in memory, against a model: the whole list, sorted anew after each change."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest

from db.ticket_window import WindowRow
from pubsub.kept_list import KeptList

SIZE, MOST = 4, 8


def row(id: str, key: int, *, has_edge: bool = True) -> WindowRow:
    edges = (f"{id} {key}".encode(),) if has_edge else None
    return WindowRow(id, (key, id), edges, hash(edges) if has_edge else None, frozenset())


class Model:
    """A list of rows with keys, of which others only ever ask for the first ones, or for given ones."""

    def __init__(self, drawn: random.Random) -> None:
        self.drawn = drawn
        self.keys = {f"t{n}": drawn.randint(0, 30) for n in range(drawn.randint(0, 20))}

    def sorted(self) -> list[WindowRow]:
        return sorted((row(id, key) for id, key in self.keys.items()), key=lambda row: row.key or ())

    def read(self) -> KeptList:
        rows = [
            row if number < SIZE else replace(row, edges=None, digest=None)
            for number, row in enumerate(self.sorted()[:MOST])
        ]
        return KeptList(rows, SIZE, MOST, is_whole=len(rows) < MOST)

    def of_ids(self, ids: Collection[str]) -> Sequence[WindowRow]:
        return [row for row in self.sorted() if row.id in ids]

    def change(self) -> str:
        """Changes one row, or adds or removes one."""
        id = f"t{self.drawn.randint(0, 24)}"
        if id in self.keys and self.drawn.random() < 0.4:
            del self.keys[id]
        else:
            self.keys[id] = self.drawn.randint(0, 30)
        return id


@pytest.mark.parametrize("seed", range(20))
def test_the_window_is_always_the_beginning_of_the_list(seed: int) -> None:
    model = Model(random.Random(seed))
    kept, reads = model.read(), 0
    for _ in range(200):
        changed = {model.change() for _ in range(model.drawn.randint(1, 3))}
        # A row that is not kept, and whose key the kept ones do not reach, is not even read.
        concerned = {id for id in changed if id in kept or (id in model.keys and kept.reaches((model.keys[id], id)))}
        kept.put(concerned, model.of_ids(concerned))
        while kept.missing and not kept.is_exhausted:
            kept.put(kept.missing, model.of_ids(kept.missing))
        if kept.is_exhausted:
            kept, reads = model.read(), reads + 1
        assert kept.shown == model.sorted()[:SIZE]
    assert reads < 100


def test_a_row_beyond_the_end_is_of_no_concern() -> None:
    kept = KeptList([row("a", 1), row("b", 2)], 1, 2, is_whole=False)
    assert kept.reaches((2, "b")) and kept.reaches((0, "z"))
    assert not kept.reaches((2, "c"))
    kept.put({"x"}, [row("x", 3)])
    assert "x" not in kept


def test_a_whole_list_reaches_everything_until_it_is_too_long() -> None:
    kept = KeptList([row("a", 1)], 1, 2, is_whole=True)
    kept.put({"z"}, [row("z", 100)])
    assert "z" in kept and not kept.is_exhausted
    kept.put({"b"}, [row("b", 2)])
    assert "z" not in kept and not kept.reaches((100, "z"))
    kept.put({"a", "b"}, [])
    assert kept.is_exhausted


def test_an_edge_that_leaves_the_window_is_read_again_when_it_returns() -> None:
    kept = KeptList([row("a", 1)], 1, 9, is_whole=True)
    kept.put({"b"}, [row("b", 0)])
    assert kept.missing == []
    kept.put({"b"}, [])
    assert kept.missing == ["a"]
