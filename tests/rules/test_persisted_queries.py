"""The store of automatic persisted queries: what it keeps, for whom, and how much; and the forms of manifests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from callout.execution.persisted import SHARE_BYTES, SHARE_ENTRIES, PersistedQueries
from callout.execution.trusted import TrustedDocuments, hash_of, read_manifest
from db.enums import Role
from db.viewer import Viewer


def viewer(name: str) -> Viewer:
    return Viewer(Role.CUSTOMER, name, name)


ADA, BOB = viewer("ada"), viewer("bob")


def keep(queries: PersistedQueries, who: Viewer, text: str) -> str:
    queries.keep(who, hash_of(text), text)
    return hash_of(text)


def test_a_viewer_loses_what_they_have_not_used_for_the_longest_time() -> None:
    queries = PersistedQueries()
    hashes = [keep(queries, ADA, f"{{ a{n} }}") for n in range(SHARE_ENTRIES)]
    assert queries.get(ADA, hashes[0]) == "{ a0 }"
    keep(queries, ADA, "{ more }")
    assert queries.get(ADA, hashes[1]) is None
    assert all(queries.get(ADA, hash) for hash in [hashes[0], *hashes[2:]])


def test_a_share_is_bounded_in_bytes() -> None:
    queries = PersistedQueries()
    small = keep(queries, ADA, "{ small }")
    assert queries.get(ADA, keep(queries, ADA, "#" * SHARE_BYTES)) is None
    assert queries.get(ADA, small)
    large = [keep(queries, ADA, f"{n}" * (SHARE_BYTES // 3)) for n in range(9)]
    assert [hash for hash in [small, *large] if queries.get(ADA, hash)] == large[-2:]
    assert queries.size <= SHARE_BYTES


def test_a_viewer_who_fills_the_store_drives_nobody_else_out() -> None:
    queries = PersistedQueries(total_bytes=2 * SHARE_BYTES)
    ours = [keep(queries, BOB, f"{{ b{n} }}") for n in range(50)]
    for name in "defghijklmnop":
        for n in range(9):
            keep(queries, viewer(name), f"{name}{n}" * (SHARE_BYTES // 8))
        assert queries.size <= 2 * SHARE_BYTES
    assert all(queries.get(BOB, hash) for hash in ours)


def test_the_viewer_who_takes_the_most_loses_theirs() -> None:
    queries = PersistedQueries(total_bytes=SHARE_BYTES)
    lost = 0
    for n in range(3_000):
        who = viewer(str(n * n % 23))
        text = f"{n} {'x' * (n % 83 * 100)}"
        before = {key: share.size for key, share in queries._shares.items()}
        before[who.role, who.id] = before.get((who.role, who.id), 0) + len(text)
        keep(queries, who, text)
        gone = before.keys() - queries._shares.keys()
        lost += len(gone)
        if gone:
            assert min(before[key] for key in gone) + 300 > max(share.size for share in queries._shares.values())
        assert len(queries._sizes) <= 8 * 23  # of 23 viewers; what sizes were before is forgotten
    assert lost > 50


def test_a_document_of_many_viewers_counts_once() -> None:
    queries = PersistedQueries(total_bytes=2 * SHARE_BYTES)
    text = "x" * (SHARE_BYTES // 2)
    everybody = [viewer(str(n)) for n in range(100)]
    hashes = {keep(queries, each, text) for each in everybody}
    assert all(queries.get(each, hash) for each in everybody for hash in hashes)
    for each in everybody:
        for n in range(SHARE_ENTRIES):
            keep(queries, each, f"{each.id} {n}")
    assert not any(queries.get(each, hash) for each in everybody for hash in hashes)
    queries.forget()
    assert queries.size == 0


def test_the_size_is_that_of_what_is_kept() -> None:
    queries = PersistedQueries(total_bytes=SHARE_BYTES)
    for n in range(1_000):
        keep(queries, viewer(str(n % 7)), f"{{ a{n % 97} {'b' * (n % 89) * 50} }}")
    kept = {id(query): query for share in queries._shares.values() for query in share.values()}
    entries = sum(map(len, queries._shares.values()))
    assert queries.size == sum(query.size for query in kept.values()) + 250 * (entries - len(kept))
    assert set(queries._queries) == {query.hash for query in kept.values()}


APOLLO = {
    "format": "apollo-persisted-query-manifest",
    "version": 1,
    "operations": [{"id": "1", "name": "A", "type": "query", "body": "query A { a }"}],
}


@pytest.mark.parametrize("content", [APOLLO, {"1": "query A { a }"}])
def test_both_forms_of_manifests_are_read(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    trusted = TrustedDocuments(read_manifest(path))
    assert trusted.get("1") == trusted.get("sha256:" + hash_of("query A { a }")) == "query A { a }"
    assert "query A { a }" in trusted and trusted.get("2") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "5",
        '{"1": 5}',
        '{"1": {"body": "{ a }"}}',
        json.dumps(APOLLO | {"version": 2}),
        json.dumps(APOLLO | {"operations": None}),
        json.dumps(APOLLO | {"operations": [{"id": "1"}]}),
        json.dumps(APOLLO | {"operations": [{"id": "1", "body": 5}]}),
        json.dumps(APOLLO | {"operations": [{"id": 1, "body": "{ a }"}]}),
        json.dumps(APOLLO | {"operations": [{"id": [], "body": "{ a }"}]}),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="manifest"):
        read_manifest(path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_manifest(tmp_path / "another.json")
