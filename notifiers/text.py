"""Cleaning of texts from outside, so that they can be stored and shown anywhere, with their lines or on one line."""

from __future__ import annotations

import re

# Control characters, surrogates, and bidirectional controls, which also affect the text that follows.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def tidy(text: str) -> str:
    """Returns `text` without invisible control characters, except tabs, and with `\\n` as its only line end."""
    return _HARMFUL.sub("", _LINE_ENDS.sub("\n", text))


def one_line(text: str, maximum: int | None = None) -> str:
    """Returns the tidied `text` on one line with single spaces, shortened to `maximum` characters."""
    line = " ".join(tidy(text).split())
    return line if maximum is None else shortened(line, maximum)


def shortened(text: str, maximum: int) -> str:
    """Returns `text`, or its beginning and an ellipsis, if it has more than `maximum` characters."""
    return text if len(text) <= maximum else text[: maximum - 1].rstrip() + "…"
