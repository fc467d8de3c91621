"""The text that a reader of a message sees: of HTML without what it hides, and of either form without `data:` images.

A quote in HTML (`<blockquote>`) becomes lines that begin with `>`, as in plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import html_text
import lxml.etree  # type: ignore[import-untyped]
import lxml.html  # type: ignore[import-untyped]

from notifiers.text import tidy

_HTML_MAX = 2_000_000  # characters
_NO_FURTHER = f"… (The HTML was shortened: only its first {_HTML_MAX:,} characters were read.)"
_STYLES_MAX = 100_000  # characters of style sheets that are read
_DEPTH_MAX = 20  # marks before a line, however deep its quote is

_NOT_TEXT = ("head", "script", "style", "template", "noscript")
_HIDES = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|(?<!-)opacity\s*:\s*0*(?:\.0+)?\s*(?:[;!]|$)"
    r"|max-height\s*:\s*0(?:px|pt|em)?\s*(?:[;!]|$)",
    re.IGNORECASE,
)
_TINY = re.compile(r"font-size\s*:\s*[01](?:\.\d+)?(?:px|pt|em|%)?\s*(?:[;!]|$)", re.IGNORECASE)
_CLASS = re.compile(r"(?:^|,)\s*\w*\.([\w-]+)\s*(?=,|$)")

# Where a quote begins and ends: characters that `tidy` removes, so that no sender can write them.
_OPEN, _CLOSE = "\ufff9", "\ufffb"
_BLANK_BESIDE = re.compile(f"({_OPEN}\n)\n+|\n+(\n{_CLOSE})")

# The lines of base64 after the first are as long as all lines of an encoder, except for the last one.
_DATA = re.compile(
    r"[(<\[]?\bdata:image/[\w.+-]{1,40}(?:;[\w=.-]{1,40}){0,3},[\w+/=%.-]*"
    r"(?:\n[A-Za-z0-9+/]{60,}(?=\n))*(?:\n[A-Za-z0-9+/]{1,100}={1,2}(?![^\s)>\]]))?[)>\]]?",
    re.ASCII,
)
_IMAGE = "(image)"


class Unreadable(Exception):
    """The message cannot be parsed, or only at too high a cost. The text is the reason, for admins to read."""


def without_data(text: str) -> str:
    """Replaces the images that are in the text itself, as `data:` URLs, by a word."""
    return _DATA.sub(_IMAGE, text) if "data:image/" in text else text


def html_to_text(html: str) -> str:
    """Returns the text that HTML shows, in lines as laid out, quotes with marks. HTML of more than 2 million characters
    is cut, with a remark that says so. Raises `Unreadable` if it is nested too deeply."""
    html = tidy(html)
    if len(html) > _HTML_MAX:
        return f"{html_to_text(html[:_HTML_MAX])}\n\n{_NO_FURTHER}"
    if not html.strip():
        return ""
    parser = lxml.html.HTMLParser(huge_tree=True, remove_comments=True, remove_pis=True, encoding="utf-8")
    try:
        tree = lxml.html.document_fromstring(html.encode(), parser=parser)
    except lxml.etree.ParserError:  # nothing but comments
        return ""
    if parser.error_log.filter_from_fatals():
        raise Unreadable("The HTML is nested too deeply.")
    for element in list(_hidden(tree)):
        element.clear(keep_tail=True)
        element.tag = "span"
    for quote in tree.xpath("//blockquote"):
        _enclose(quote)
    return tidy(_marked(str(html_text.extract_text(tree))))


def _hidden(tree: Any) -> Iterator[Any]:
    """The elements that are not shown. Those in them may be among them."""
    hidden_classes = _hidden_classes("\n".join(style.text or "" for style in tree.iter("style"))[:_STYLES_MAX])
    yield from tree.iter(*_NOT_TEXT)
    for element in tree.xpath("//body//*[@style or @hidden or @class]"):
        style = element.get("style", "")
        is_tiny = len(element) == 0 and _TINY.search(style)  # around others, it only removes the space between them
        by_class = not hidden_classes.isdisjoint(element.get("class", "").split())
        if by_class or is_tiny or element.get("hidden") is not None or _HIDES.search(style):
            yield element


def _hidden_classes(css: str) -> set[str]:
    """The classes that a style sheet hides on every screen, so without those in `@media`."""
    found: set[str] = set()
    depth, selector, begins = 0, "", 0
    for brace in re.finditer("[{}]", css):
        if brace[0] == "{":
            if depth == 0:
                selector, begins = css[begins : brace.start()].strip(), brace.end()
            depth += 1
        elif depth > 0:
            depth -= 1
            if depth == 0:
                if not selector.startswith("@") and _HIDES.search(css, begins, brace.start()):
                    found.update(_CLASS.findall(selector))
                begins = brace.end()
    return found


def _enclose(quote: Any) -> None:
    """Put a line before and one after what the element contains."""
    first, last = lxml.etree.Element("div"), lxml.etree.Element("div")
    first.text, last.text = _OPEN, _CLOSE
    first.tail, quote.text = quote.text, None
    quote.insert(0, first)
    quote.append(last)


def _marked(text: str) -> str:
    """Begins the lines in quotes with a mark for each quote that they are in."""
    if _OPEN not in text:
        return text
    text = _BLANK_BESIDE.sub(r"\1\2", text)
    depth, lines = 0, []
    for line in text.split("\n"):
        if line.strip() in (_OPEN, _CLOSE):
            depth += 1 if line.strip() == _OPEN else -1
        else:
            lines.append(f"{'>' * min(depth, _DEPTH_MAX)} {line}".rstrip() if depth > 0 else line)
    return "\n".join(lines)
