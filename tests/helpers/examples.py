"""The clients that `docs/live.md` has to copy, so that the tests run what the page says."""

from __future__ import annotations

import re
from pathlib import Path

_PAGE = Path(__file__).parents[1] / "docs" / "live.md"


def example(language: str) -> str:
    """The page's one block of code in this language."""
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", _PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return str(code)
