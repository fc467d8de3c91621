"""The texts of mail, as Jinja2 templates: ours in `notifiers/templates`, overridden by an operator's of the same name.

A template is named after the notification's kind and, if there is one for it, the audience: `created_customer.html`,
else `created.html`; a summary of new tickets is `summary.html`. Each has a text and an HTML form. Everything in the
HTML forms is escaped. `_context` defines the variables that a template may use; an unknown name is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    BytecodeCache,
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
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

from db.enums import NoticeKind
from notifiers import samples
from notifiers.company_profile import CompanyProfile
from notifiers.contacts import CONFIRMABLE
from notifiers.links import TicketLinks, confirmation_link
from notifiers.notification import Notice, Notification, NotifiedFile
from notifiers.text import one_line, tidy

NO_LINKS = TicketLinks()
UNNAMED = CompanyProfile()
OURS = Path(__file__).with_name("templates")
_FORMS = ("txt", "html")
# The errors that rendering can raise: a template's expressions run Jinja2 and Python code.
_FAILURES = (TemplateError, ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


class BrokenTemplate(Exception):
    """A template cannot be rendered. The text has its name, the line if it is known, and the reason."""


class _Compiled(BytecodeCache):
    """The code of compiled templates, by their name and path. Jinja2 compares the checksum of a template's source, so a
    changed template takes the place of the old one."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Compiled()  # compiling them all takes 0.1 s


class Templates:
    """The templates in the folder `overrides`, if there is one, and ours for the rest. Changed files are read again;
    a new file is noticed only after a restart."""

    def __init__(
        self,
        overrides: Path | None = None,
        *,
        links: TicketLinks = NO_LINKS,
        confirm_url: str | None = None,
        company: CompanyProfile = UNNAMED,
    ) -> None:
        """`confirm_url` is the page that confirms an address."""
        self._overrides = overrides
        self._links = links
        self._confirm_url = confirm_url
        self._company = company
        ours = FileSystemLoader(OURS)
        # With the prefix, a template that overrides ours can extend it: `{% extends "callout/resolved.html" %}`.
        loaders: list[BaseLoader] = [ours, PrefixLoader({"callout": ours})]
        if overrides is not None:
            loaders.insert(0, FileSystemLoader(overrides))
        self._environment = Environment(
            loader=ChoiceLoader(loaders),
            bytecode_cache=_COMPILED,
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters |= {"when": company.when, "words": _words, "lines": _lines}

    def render(self, notification: Notification) -> tuple[str, str]:
        """Returns the text and the HTML. Raises `BrokenTemplate` if either cannot be rendered."""
        context = self._context(notification)
        text, html = (self._rendered(_names(notification), form, context) for form in _FORMS)
        return text.strip() + "\n", html

    def render_notice(self, notice: Notice) -> tuple[str, str]:
        """The same for a notice."""
        context = self._context_of_notice(notice)
        text, html = (self._rendered([notice.template], form, context) for form in _FORMS)
        return text.strip() + "\n", html

    def problems(self) -> list[str]:
        """The problems of the folder, or else of the templates, one line each, found by rendering every sample."""
        if self._overrides is not None and not self._overrides.is_dir():
            return [f"{self._overrides} is not a folder"]
        found = []
        names = [(_names(notification), self._context(notification)) for notification in samples.all_samples()]
        notices = [([notice.template], self._context_of_notice(notice)) for notice in samples.sample_notices()]
        for kinds, context in (*names, *notices):
            for form in _FORMS:
                try:
                    self._rendered(kinds, form, context)
                except BrokenTemplate as error:
                    found.append(str(error))
        return list(dict.fromkeys(found))

    def _context_of_notice(self, notice: Notice) -> dict[str, Any]:
        lines = [tidy(line) for line in notice.lines if line]
        texts = {
            "subject": one_line(notice.subject),
            "lines": lines,
            "at": notice.at,
            "ticket": None,
            "link": notice.link,
        }
        return texts | {"company": self._company.name, "logo": self._company.logo_url}

    def _context(self, notification: Notification) -> dict[str, Any]:
        if notification.kind is NoticeKind.CONFIRM_ADDRESS:
            context = _context_of_question(notification, confirmation_link(notification, self._confirm_url))
        else:
            context = _context(notification, self._links.of(notification))
        return context | {"company": self._company.name, "logo": self._company.logo_url}

    def _rendered(self, names: Sequence[str], form: str, context: dict[str, Any]) -> str:
        """Renders the first of these templates that there is."""
        names = [f"{name}.{form}" for name in names]
        name = names[-1]
        try:
            template: Template = self._environment.select_template(names)
            name = template.name or name
            return template.render(context)
        except _FAILURES as error:
            raise BrokenTemplate(_where(error, name)) from error


def _names(notification: Notification) -> list[str]:
    """The templates of a notification, the first one if it is there."""
    kind = "summary" if notification.summary else notification.kind.lower()
    if notification.kind is NoticeKind.NOTE_ADDED and notification.files:
        kind = "files_added"
    return [f"{kind}_{notification.audience.lower()}", kind]


# The kinds that an event of a note can have, and that of a refusal, which has a reason. A note that follows up a closed
# ticket is the first of a new one.
_ABOUT_NOTES = (
    *(NoticeKind.CREATED, NoticeKind.NOTE_ADDED, NoticeKind.CUSTOMER_ANSWERED, NoticeKind.REOPENED),
    NoticeKind.DECLINED,
)


def _context(notification: Notification, link: str | None) -> dict[str, Any]:
    """The variables of a template, all of which the customer may see: a note's text is only in the notification of that
    note, and internal notes are never notified of. The reason of a refusal is only in its own, which customers never
    get."""
    ticket = None if notification.summary else notification.ticket
    if ticket is not None:
        ticket = replace(
            ticket,
            subject=one_line(ticket.subject),
            description=tidy(ticket.description),
            contact_name=one_line(ticket.contact_name),
            contact_phone=one_line(ticket.contact_phone or ""),
            customer_name=one_line(ticket.customer_name or ""),
            property_address=one_line(ticket.property_address or ""),
            property_account_number=one_line(ticket.property_account_number or ""),
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
        "note": tidy(notification.note or "") if notification.kind in _ABOUT_NOTES else "",
        "link": link,
        "carried": [_described(file) for file in notification.files if file.data is not None],
        "linked": [_described(file) for file in notification.files if file.data is None],
        "tickets": [replace(line, subject=one_line(line.subject)) for line in notification.summary],
    }


def _described(file: NotifiedFile) -> str:
    """`photo.jpg (1.2 MiB)`"""
    size = f"{file.size / 2**20:.1f} MiB" if file.size >= 2**20 else f"{-(-file.size // 1024)} KiB"
    return f"{one_line(file.name)} ({size})"


def _context_of_question(notification: Notification, link: str | None) -> dict[str, Any]:
    """The variables of the mail that asks to confirm an address. The recipient may be a stranger, so they have nothing
    that anybody has typed, and a template that names such a value is broken."""
    assert notification.ticket is not None
    return {
        "kind": notification.kind,
        "audience": notification.audience,
        "ticket": {"reference": notification.ticket.reference},
        "link": link,
        "days": CONFIRMABLE.days,
    }


def _where(error: Exception, name: str) -> str:
    if isinstance(error, TemplateSyntaxError):
        return f"{error.name or name}, line {error.lineno}: {error.message}"
    return f"{name}: {one_line(str(error), 300) or type(error).__name__}"


def _words(value: StrEnum) -> str:
    """An enum's value in words: `In progress`, `CCTV`."""
    return value.value if value == "CCTV" else value.value.replace("_", " ").capitalize()


def _lines(text: str) -> Markup:
    """Text as HTML that keeps its line breaks; not every mail program supports the CSS property `white-space`."""
    return Markup("<br>\n").join(escape(line) for line in text.split("\n"))
