"""Corpora of whole messages, whose tests say how their parts, charsets and headers read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from notifiers.inbound.mail_text import html_to_text
from tests.corpora.case import Case, Corpus, unicode_of

_TEST = re.compile(r"runEmailTest\('(\w+)', \[(.*?)\n        \]\);", re.DOTALL)
_PROPERTY = re.compile(r"'(Subject|text)' => '((?:[^'\\]|\\.)*)'")


def _stalwart(folder: Path) -> Iterator[Case]:
    """Its messages with the text that it reads of them and the names of their files. Those with messages in them are
    left out of the texts: it shows none of theirs."""
    for path in sorted((folder / "resources" / "eml").rglob("*.eml")):
        expected = path.with_suffix(".json")
        if not expected.exists():
            yield Case(path.name, path.read_bytes())
            continue
        message = json.loads(unicode_of(expected))
        parts = message["parts"]
        texts = [_text(parts[number]["body"]) for number in message["text_body"]]
        names = tuple(filter(None, (_name(parts[number]["headers"]) for number in message["attachments"])))
        nested = any("Message" in part["body"] for part in parts)
        text = "".join(texts) if texts and not nested else None
        yield Case(f"{path.parent.name}/{path.name}", _from(path.read_bytes()), text, None if nested else names)


def _text(body: Any) -> str:
    return str(body["Text"]) if "Text" in body else html_to_text(body["Html"]) if "Html" in body else ""


def _name(headers: list[Any]) -> str:
    """The file name in the parts' headers."""
    given = {
        attribute["name"]: attribute["value"]
        for header in headers
        if header["name"] in ("content_type", "content_disposition") and "ContentType" in header["value"]
        for attribute in header["value"]["ContentType"]["attributes"] or ()
    }
    return str(given.get("filename") or given.get("name") or "")


def _zbateson(folder: Path) -> Iterator[Case]:
    """Its messages with the text and the subject that its test says."""
    emails = folder / "tests" / "_data" / "emails"
    test = unicode_of(folder / "tests" / "MailMimeParser" / "IntegrationTests" / "EmailFunctionalTest.php")
    for name, properties in _TEST.findall(test):
        given = dict(_PROPERTY.findall(properties))
        path = emails / f"{name}.txt"
        texts = emails / "files" / given.get("text", "")
        if path.exists():
            text = texts.read_bytes().decode("latin-1") if texts.is_file() else None
            subject = given.get("Subject", "").replace("\\'", "'") or None
            yield Case(name, _from(path.read_bytes()), text, subject=subject)


def _from(raw: bytes) -> bytes:
    """The message with one sender, without whom it would not be read."""
    head, end, body = raw.partition(b"\r\n\r\n" if b"\r\n\r\n" in raw else b"\n\n")
    fields = re.sub(
        rb"(?im)^(?:from|auto-submitted|precedence|list-id|return-path):.*\n(?:[ \t].*\n)*", b"", head + b"\n"
    )
    return b"From: someone@sender.example\n" + fields.rstrip(b"\n") + end + body


MESSAGES = (
    Corpus("stalwartlabs/mail-parser", "resources/eml", _stalwart),
    Corpus("zbateson/mail-mime-parser", "tests/MailMimeParser", _zbateson),
)
