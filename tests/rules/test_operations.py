"""The operations between two lists, applied as a client applies them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

from pubsub.operations import Insert, Move, Operation, Remove, Replace, operations


def applied(rows: Sequence[str], given: Sequence[Operation[str]]) -> list[str]:
    """The list that a client has afterwards. A changed row is written in upper case."""
    result = list(rows)
    for operation in given:
        match operation:
            case Insert(index, item):
                result.insert(index, item.upper())
            case Move(origin, index, item):
                assert result.pop(origin) == item
                result.insert(index, item.upper())
            case Replace(index, item):
                assert result[index] == item
                result[index] = item.upper()
            case Remove(index):
                del result[index]
        assert len(result) <= max(len(rows), len(operations_end(rows, given)))
    return result


def operations_end(rows: Sequence[str], given: Sequence[Operation[str]]) -> list[None]:
    """A list as long as the one at the end."""
    change = sum(isinstance(each, Insert) - isinstance(each, Remove) for each in given)
    return [None] * (len(rows) + change)


@pytest.mark.parametrize("seed", range(5))
def test_the_operations_turn_any_list_into_any_other(seed: int) -> None:
    drawn = random.Random(seed)
    for _ in range(300):
        before, after = (drawn.sample("abcdefghij", drawn.randint(0, 10)) for _ in range(2))
        changed = frozenset(drawn.sample("abcdefghij", drawn.randint(0, 4)))
        given = operations(before, after, changed)
        result = applied(before, given)
        assert [item.lower() for item in result] == after
        for item in result:
            lower = item.lower()
            assert item.isupper() or (lower in before and lower not in changed), "a new or changed row is not sent"
        sent = [each.item for each in given if not isinstance(each, Remove)]
        assert len(sent) == len(set(sent)), "a row is sent twice"


def test_no_list_of_five_rows_needs_more_moves_than_it_must() -> None:
    """As many rows stay as have the same order in both lists."""
    for after in itertools.permutations("abcde"):
        staying = max(
            len(chosen)
            for size in range(6)
            for chosen in itertools.combinations("abcde", size)
            if list(chosen) == [each for each in after if each in chosen]
        )
        given = operations("abcde", after)
        assert all(isinstance(each, Move) for each in given)
        assert len(given) == 5 - staying


def test_equal_lists_need_no_operation() -> None:
    assert operations("abc", "abc") == []
    assert operations("abc", "abc", frozenset("b")) == [Replace(1, "b")]


def test_a_row_that_has_changed_is_moved_rather_than_the_others() -> None:
    assert operations("ab", "ba", frozenset("b")) == [Move(1, 0, "b")]
    assert operations("ab", "ba", frozenset("a")) == [Move(0, 1, "a")]
    assert operations("abcd", "badc", frozenset("bc")) == [Move(1, 0, "b"), Move(2, 3, "c")]


def test_a_row_that_jumps_to_the_top_is_one_move() -> None:
    assert operations("abcd", "dabc", frozenset("d")) == [Move(3, 0, "d")]


def test_a_row_that_leaves_makes_room_before_another_one_comes() -> None:
    assert operations("abc", "xab") == [Remove(2), Insert(0, "x")]
