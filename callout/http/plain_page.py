"""Pages that the server renders for people who are not in the console: one column, light or dark, in English or French
as the browser asks."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from html import escape
from typing import Final

from starlette.requests import Request


class Language(StrEnum):
    """A language of the pages."""

    ENGLISH = "en"
    FRENCH = "fr"


InBoth = Mapping[Language, str]
"""A text or a page in each language."""

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",  # the address of the page has the token
    "x-robots-tag": "noindex",
    "vary": "Accept-Language",
}

_PAGE: Final = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
{script}<style>
  body {{ margin: 0; padding: 10vh 16px; background: #eef1f4; color: #1f2933;
    font: 17px/1.5 -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }}
  main {{ box-sizing: border-box; max-width: 34rem; margin: 0 auto; padding: 32px 36px; background: #ffffff;
    border-top: 4px solid #1d5673; border-radius: 6px; }}
  h1 {{ margin: 0 0 16px; font-size: 1.4rem; line-height: 1.3; }}
  p {{ margin: 0 0 16px; }}
  p:last-child {{ margin: 0; }}
  label {{ display: block; margin: 0 0 4px; font-weight: 600; }}
  input {{ box-sizing: border-box; width: 100%; margin: 0 0 16px; padding: 11px 12px; border: 1px solid #7b8794;
    border-radius: 6px; background: transparent; color: inherit; font: inherit; }}
  input:focus-visible {{ outline: 3px solid #7fb3cc; outline-offset: 1px; }}
  button, .button {{ display: inline-block; padding: 12px 22px; border: 0; border-radius: 6px; background: #1d5673;
    color: #ffffff; font: inherit; font-weight: 600; text-decoration: none; cursor: pointer; }}
  button:focus-visible, .button:focus-visible {{ outline: 3px solid #7fb3cc; outline-offset: 2px; }}
  p + form, div + form, .below {{ margin: 28px 0 0; }}
  button.quiet {{ padding: 6px 14px; border: 1px solid currentcolor; background: transparent; color: inherit; }}
  a {{ color: inherit; }}
  a.button {{ color: #ffffff; }}
  ul {{ margin: 0 0 24px; padding: 0; list-style: none; }}
  li {{ padding: 14px 0; border-bottom: 1px solid #9aa5b1; }}
  li form {{ margin: 8px 0 0; }}
  @media (prefers-color-scheme: dark) {{
    body {{ background: #14181c; color: #e6eaee; }}
    main {{ background: #1e242a; }}
  }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""


def both(english: str, french: str) -> InBoth:
    return {Language.ENGLISH: english, Language.FRENCH: french}


def page_of(language: Language, title: str, content: str, script: str | None = None) -> str:
    """The page with this title and this HTML, which loads the script at this path."""
    loads = "" if script is None else f'<script type="module" src="{escape(script)}"></script>\n'
    return _PAGE.format(language=language, title=escape(title), content=content, script=loads)


def pages_of(english: tuple[str, str], french: tuple[str, str]) -> InBoth:
    """A page in each language, of its title and its HTML."""
    return both(page_of(Language.ENGLISH, *english), page_of(Language.FRENCH, *french))


def language_of(request: Request) -> Language:
    """The language that the browser prefers (RFC 9110, section 12.5.4), English if it prefers none of them."""
    return max(Language, key=lambda language: _weight(request.headers.get("accept-language", ""), language))


def _weight(accepted: str, language: Language) -> float:
    """How much the header wants the language, in any of its regional forms; 0 if it does not name it."""
    weights = [0.0]
    for entry in accepted.split(","):
        tag, _, parameter = entry.partition(";")
        if tag.strip().lower().split("-")[0] == language:
            name, _, value = parameter.strip().partition("=")
            weights.append(_number(value) if name == "q" else 1.0)
    return max(weights)


def _number(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0
