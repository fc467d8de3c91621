"""Texts that other people wrote, made fit to be stored and shown anywhere, as lines or as one."""

from __future__ import annotations

import re

# Controls, halves of characters, and what turns the direction of the text after it, beyond its own end.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def tidy(text: str) -> str:
    """`text` with nothing invisible in it but tabulators, and one kind of line end, `\\n`."""
    return _HARMFUL.sub("", _LINE_ENDS.sub("\n", text))


def one_line(text: str, maximum: int | None = None) -> str:
    """`text` likewise, on one line and without doubled blanks; if it is longer than `maximum`, its beginning."""
    line = " ".join(tidy(text).split())
    return line if maximum is None else shortened(line, maximum)


def shortened(text: str, maximum: int) -> str:
    """`text`, or its beginning and an ellipsis."""
    return text if len(text) <= maximum else text[: maximum - 1].rstrip() + "…"
