"""The texts of mail, as Jinja2 templates: ours in `notifiers/templates`, and an operator's, which win by name.

A template is called by what it tells and, where that differs, whom: `created_customer.html`, else `created.html`. Each
has a text and an HTML form. Everything in the HTML forms is escaped. What a template may use is what `_context` gives
it; a name that it misspells is an error.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    select_autoescape,
)
from markupsafe import Markup, escape

from db.enums import NoticeKind
from notifiers import samples
from notifiers.links import link_of
from notifiers.notification import Notification
from notifiers.text import one_line, tidy

OURS = Path(__file__).with_name("templates")
_FORMS = ("txt", "html")
# What a template can raise: its code is Jinja2's and Python's.
_FAILURES = (TemplateError, ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


class BrokenTemplate(Exception):
    """A template cannot be used. The text says which, where, and why."""


class Templates:
    """Those in the folder `overrides`, if there is one, and ours for the rest. Changed files are read again; new ones
    are not looked for."""

    def __init__(self, overrides: Path | None = None, *, public_url: str | None = None) -> None:
        self._overrides = overrides
        self._public_url = public_url
        ours = FileSystemLoader(OURS)
        # `{% extends "callout/resolved.html" %}` is how one that changes a block gets at ours of the same name.
        loaders: list[BaseLoader] = [ours, PrefixLoader({"callout": ours})]
        if overrides is not None:
            loaders.insert(0, FileSystemLoader(overrides))
        self._environment = Environment(
            loader=ChoiceLoader(loaders),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters |= {"when": _when, "words": _words, "lines": _lines}

    def render(self, notification: Notification) -> tuple[str, str]:
        """The text and the HTML. Raises `BrokenTemplate`."""
        context = _context(notification, link_of(notification, self._public_url))
        text, html = (self._render(notification, form, context) for form in _FORMS)
        return text.strip() + "\n", html

    def problems(self) -> list[str]:
        """What is wrong with the templates, a line for each, found by rendering every one; and with the folder."""
        if self._overrides is not None and not self._overrides.is_dir():
            return [f"{self._overrides} is not a folder"]
        found = []
        for notification in samples.all_samples():
            context = _context(notification, link_of(notification, self._public_url))
            for form in _FORMS:
                try:
                    self._render(notification, form, context)
                except BrokenTemplate as error:
                    found.append(str(error))
        return list(dict.fromkeys(found))

    def _render(self, notification: Notification, form: str, context: dict[str, Any]) -> str:
        kind = notification.kind.lower()
        names = [f"{kind}_{notification.audience.lower()}.{form}", f"{kind}.{form}"]
        name = names[-1]
        try:
            template: Template = self._environment.select_template(names)
            name = template.name or name
            return template.render(context)
        except _FAILURES as error:
            raise BrokenTemplate(_where(error, name)) from error


def _context(notification: Notification, link: str | None) -> dict[str, Any]:
    """What a template may use. The text of a note is there only if the notification is about that note: all of it may
    be seen by the customer, and internal notes are in no notification."""
    ticket = notification.ticket
    if ticket is not None:
        ticket = replace(
            ticket,
            subject=one_line(ticket.subject),
            description=tidy(ticket.description),
            contact_name=one_line(ticket.contact_name),
            customer_name=one_line(ticket.customer_name or ""),
            property_address=one_line(ticket.property_address or ""),
            technician_name=one_line(ticket.technician_name or ""),
            resolution=tidy(ticket.resolution or ""),
        )
    return {
        "kind": notification.kind,
        "audience": notification.audience,
        "ticket": ticket,
        "recipient_name": one_line(notification.recipient_name),
        "actor": one_line(notification.actor_name),
        "at": notification.at,
        "note": tidy(notification.note or "") if notification.kind is NoticeKind.NOTE_ADDED else "",
        "link": link,
    }


def _where(error: Exception, name: str) -> str:
    if isinstance(error, TemplateSyntaxError):
        return f"{error.name or name}, line {error.lineno}: {error.message}"
    return f"{name}: {one_line(str(error), 300) or type(error).__name__}"


def _when(at: datetime) -> str:
    """`24 November 2026, 19:30 UTC`"""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def _words(value: StrEnum) -> str:
    """An enum's value as a person says it: `In progress`, `CCTV`."""
    return value.value if value == "CCTV" else value.value.replace("_", " ").capitalize()


def _lines(text: str) -> Markup:
    """Text as HTML that keeps its line breaks; not every mail program knows `white-space`."""
    return Markup("<br>\n").join(escape(line) for line in text.split("\n"))
