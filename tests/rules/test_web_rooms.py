"""The rules of `web/README.md` that no tool checks: which folder imports which, names, and what a page may contain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.helpers.paths import ROOT

WEB: Final = ROOT / "web"
MAY_IMPORT: Final = {
    "design": {"design", "texts"},
    "texts": {"texts"},
    "shared": {"shared", "design", "texts"},
    "staff": {"staff", "shared", "design", "texts"},
    "tech": {"tech", "shared", "design", "texts", "examples/device.ts"},
    "portal": {"portal", "shared", "design", "texts"},
}
IMPORT: Final = re.compile(r"""(?:\bfrom\s+|\bimport\s*\(?\s*)"(\.[^"]+)\"""")
FORBIDDEN: Final = {
    "dangerouslySetInnerHTML": "texts of people would become HTML",
    "innerHTML": "texts of people would become HTML",
    ' style="': "the page's policy refuses inline styles; an object, which a script sets, is allowed",
}
"""What no source may contain, and why."""


def sources() -> Iterator[Path]:
    for room in MAY_IMPORT:
        for path in (WEB / room).rglob("*.ts*"):
            if path.name != "operations.ts":
                yield path


def named(path: Path) -> str:
    return path.relative_to(WEB).as_posix()


@pytest.mark.parametrize("path", sorted(sources()), ids=named)
def test_a_source_keeps_the_rules(path: Path) -> None:
    text, room = path.read_text(), path.relative_to(WEB).parts[0]
    for imported in IMPORT.findall(text):
        target = (path.parent / imported).resolve().relative_to(ROOT).as_posix().removeprefix("web/")
        assert {target, target.partition("/")[0]} & MAY_IMPORT[room], f"{room} must not import {imported}"
    for words, why in FORBIDDEN.items():
        assert words not in text, f"{words}: {why}"
    assert re.fullmatch(r"[a-z0-9_.]+", path.name), "names are in snake_case"


def test_each_text_is_there_in_both_languages() -> None:
    english, french = ({path.name for path in (WEB / "texts" / language).iterdir()} for language in ("en", "fr"))
    assert english
    assert english == french
