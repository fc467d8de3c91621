"""Texts that other people wrote, made fit for places that take one line, or plain lines."""

from __future__ import annotations

import unicodedata

_SEPARATORS = ("Cc", "Cs", "Zl", "Zp")  # Unicode's controls, lone surrogates, and separators of lines and paragraphs
_DIRECTIONS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])  # they make a text look like another


def one_line(text: str, maximum: int | None = None) -> str:
    """`text` without line breaks, controls and doubled blanks; if it is longer than `maximum`, its beginning."""
    visible = "".join(" " if unicodedata.category(character) in _SEPARATORS else character for character in text)
    line = " ".join(visible.translate(_DIRECTIONS).split())
    return line if maximum is None else shortened(line, maximum)


def plain_lines(text: str) -> str:
    """`text` with every kind of line break as `\\n`, and without other controls but the tabulator."""
    return "\n".join(
        "".join(character for character in line if character == "\t" or unicodedata.category(character) != "Cc")
        for line in text.splitlines()
    )


def shortened(text: str, maximum: int) -> str:
    """`text`, or its beginning and an ellipsis."""
    return text if len(text) <= maximum else text[: maximum - 1].rstrip() + "…"
