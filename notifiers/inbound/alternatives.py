"""Joins the texts of a message's parts, and chooses between the forms that one text has."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from html import escape

from notifiers.inbound.mail_text import Unreadable, html_to_text

_COMPARED_MAX = 50_000  # characters of each form
_STUB_MAX = 500  # characters of a text that stands in for the HTML
_ABOUT_HTML = re.compile(r"html|mime|browser|online", re.IGNORECASE)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Form:
    """A text: plain, as HTML, or both. `besides` marks one that is no alternative to another, such as an invitation;
    `packed` one that is shown only if no other part has text."""

    plain: str = ""
    html: str = ""
    besides: bool = False
    packed: bool = False


def best(forms: list[Form]) -> Form:
    """The plain form and the HTML (RFC 2046, section 5.1.4). Software that writes only HTML well puts a stub into the
    plain form ("your program cannot show HTML"), or a part of the text; other software calls texts alternatives that
    are not, so that all are kept that say something else."""
    plain = _different([form.plain for form in forms])
    html = _different([form.html for form in forms])
    return Form("" if plain and html and _lacks(plain, html) else plain, html)


def _different(texts: list[str]) -> str:
    """The texts that have words which those before do not have."""
    found: list[str] = []
    said: Counter[str] = Counter()
    for text in filter(str.strip, texts):
        counted = _words(text)
        if not found or not counted <= said:
            found.append(text)
            said |= counted
    return "\n\n".join(found)


def joined(forms: list[Form]) -> Form:
    """All texts in both forms, unless none has the form. A text without it is converted."""
    said = [form for form in forms if form.plain.strip() or form.html.strip()]
    said = [form for form in said if not form.packed] or said
    plain = [form.plain.strip() or html_to_text(form.html) for form in said]
    html = [form.html if form.html.strip() else _as_html(form.plain) for form in said]
    return Form(
        "\n\n".join(plain) if any(form.plain.strip() for form in said) else "",
        "\n".join(html) if any(form.html.strip() for form in said) else "",
    )


def _lacks(plain: str, html: str) -> bool:
    """Whether the plain form lacks what the HTML says: as a stub that shares few words with it, or as a fragment."""
    try:
        shown = html_to_text(html[:_COMPARED_MAX])
    except Unreadable:
        return False
    few, many = _words(plain), _words(shown)
    shared = (few & many).total()
    if len(plain) <= _STUB_MAX and _ABOUT_HTML.search(plain) and many and shared * 3 < few.total():
        return True
    return shared == few.total() and shared * 10 < many.total() * 7


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text[:_COMPARED_MAX].lower()))


def _as_html(plain: str) -> str:
    lines = (re.sub(r"^ +", lambda blank: "&nbsp;" * len(blank[0]), escape(line)) for line in plain.split("\n"))
    return f"<div>{'<br>'.join(lines)}</div>"
