"""The pages name existing files, settings and pages, and their queries are valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import parse, validate

from callout.settings import documentation
from tests.helpers.paths import ROOT
from tests.helpers.schema_walker import SCHEMA

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
DIRECTORIES = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
FILE = re.compile(rf"`((?:{'|'.join(DIRECTORIES)})/[\w./-]+\.\w+)(?:: (\w+))?`")  # `db/ids.py` or `db/ids.py: key_of`
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([\w-]+))?\)")


def text(page: Path) -> str:
    """Returns the page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> Iterator[str]:
    for heading in re.findall(r"^#+ (.*)$", text(page), re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_each_file_name_and_link_on_a_page_exists(page: Path) -> None:
    missing = [
        f"{file}: {name}"
        for file, name in FILE.findall(text(page))
        if not (ROOT / file).exists() or name not in (ROOT / file).read_text()
    ]
    for target, anchor in LINK.findall(text(page)):
        linked = page.parent / target if target else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            missing.append(f"{target}#{anchor}")
    assert missing == []


@each_page
def test_each_query_on_a_page_is_valid(page: Path) -> None:
    for document in re.findall(r"^```graphql\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
        assert validate(SCHEMA, parse(document)) == [], document


def test_the_page_on_operations_lists_every_setting_with_its_default() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(CALLOUT_\w+)` \| (.*?) \|", page, re.MULTILINE)
    assert rows == [(name, default) for name, default, _ in documentation()]


def test_the_index_of_decisions_is_complete_and_newest_first() -> None:
    directory = ROOT / "docs" / "decisions"
    rows = re.findall(r"^\| ([\d-]+) \| \[(.*)\]\((.*)\) \|$", (directory / "README.md").read_text(), re.MULTILINE)
    pages = {path.name: path.read_text() for path in directory.glob("*.md") if path.name != "README.md"}
    assert sorted(name for _, _, name in rows) == sorted(pages)
    assert [date for date, _, _ in rows] == sorted((date for date, _, _ in rows), reverse=True)
    for date, title, name in rows:
        assert pages[name].startswith(f"# {title}\n\n*{date}*\n"), name
