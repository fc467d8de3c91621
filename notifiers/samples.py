"""Sample notifications of every kind, with which templates are checked and previewed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from db.enums import Audience, NoticeKind, TicketCategory, TicketPriority, TicketStatus
from notifiers.notification import Notice, Notification, NotifiedFile, SummaryLine, TicketFacts

_AT = datetime(2026, 11, 24, 14, 12, tzinfo=UTC)
_OPENED = TicketFacts(
    id="019ab5a2-6c00-7000-8000-0000000000a1",
    reference="TKT-A2B4C3",
    subject="Alarm panel beeping after power outage",
    description="The panel has been beeping since the power outage last night.\n"
    "The display shows a low battery warning. Panel model: DSC 1832.",
    status=TicketStatus.OPEN,
    priority=TicketPriority.HIGH,
    category=TicketCategory.ALARM,
    contact_name="Ann Tremblay",
    contact_email="ann@maple-court.example",
    contact_phone="613-555-0142",
    customer_name="Maple Court Condominiums",
    property_address="400 Maple Court, Tower 1, Ottawa",
    property_account_number="MC-1001",
    technician_name=None,
    resolution=None,
    created_at=_AT,
    by_staff=False,
)
_GIVEN = replace(_OPENED, status=TicketStatus.IN_PROGRESS, technician_name="Dev Patel")
_RESOLVED = replace(
    _GIVEN,
    status=TicketStatus.RESOLVED,
    resolution="Replaced the backup battery in the DSC 1832 panel.\nTested all zones: the system works normally.",
)
_TICKETS = {
    NoticeKind.CREATED: _OPENED,
    NoticeKind.ASSIGNED: _GIVEN,
    NoticeKind.UNASSIGNED: _OPENED,
    NoticeKind.DECLINED: _OPENED,
    NoticeKind.OVERDUE: replace(_GIVEN, status=TicketStatus.OPEN),
    NoticeKind.NOTE_ADDED: _GIVEN,
    NoticeKind.CUSTOMER_ANSWERED: _GIVEN,
    NoticeKind.RESOLVED: _RESOLVED,
    NoticeKind.REOPENED: replace(_GIVEN, status=TicketStatus.OPEN),
    NoticeKind.CONFIRM_ADDRESS: _OPENED,
    NoticeKind.TEST: None,
}
_TOKEN = "Vb1n0d2sYx3kQ4m5T6r7J8w9Zc0hL1pG2fA3eS4uK5o"
_SUMMARY = (
    SummaryLine("TKT-K7M2QX", TicketPriority.URGENT, "Fire alarm does not reset"),
    SummaryLine("TKT-A2B4C3", TicketPriority.HIGH, "Alarm panel beeping after power outage"),
    SummaryLine("TKT-W9R5TD", TicketPriority.LOW, "New badge for the garage door"),
)
_FILES = (
    NotifiedFile("new-battery.jpg", "image/jpeg", 312_000, bytes(32), b"\xff\xd8\xff"),
    NotifiedFile("test-report.pdf", "application/pdf", 7_900_000, bytes(32)),
)
_NOTES = {
    NoticeKind.DECLINED: "I am on the other side of town until the evening.",
    NoticeKind.NOTE_ADDED: "Dev will be with you on Thursday at 10.",
    NoticeKind.CUSTOMER_ANSWERED: "The janitor can let you in before 10 as well.",
    NoticeKind.REOPENED: "It has started to beep again this morning.",
}
_ACTORS = {
    NoticeKind.DECLINED: "Dev Patel",
    NoticeKind.OVERDUE: "Callout",
    NoticeKind.CUSTOMER_ANSWERED: "Ann Tremblay",
    NoticeKind.REOPENED: "Ann Tremblay",
}
_NAMES = {
    Audience.ADMIN: "",
    Audience.CUSTOMER: "Ann Tremblay",
    Audience.TECHNICIAN: "Dev Patel",
    Audience.SPACE: "",
}


def sample_notification(kind: NoticeKind, audience: Audience) -> Notification:
    return Notification(
        delivery_id="019ab5a2-6c00-7000-8000-0000000000d1",
        kind=kind,
        audience=audience,
        recipient=f"{audience.lower()}@callout.example",
        recipient_name="" if kind is NoticeKind.CONFIRM_ADDRESS else _NAMES[audience],
        ticket=_TICKETS[kind],
        actor_name=_ACTORS.get(kind, "Rosa Lind"),
        at=_AT,
        note=_NOTES.get(kind),
        confirmation_token=_TOKEN if kind is NoticeKind.CONFIRM_ADDRESS else None,
    )


def sample_summary() -> Notification:
    return replace(sample_notification(NoticeKind.CREATED, Audience.ADMIN), summary=_SUMMARY)


def sample_notice() -> Notice:
    lines = ("The webhook whk_019ab5a2-6c00-7000-8000-0000000000e1 was suspended.", "The receiver answered 410 Gone.")
    return Notice(
        "019ab5a2-6c00-7000-8000-0000000000d2", "admin@callout.example", "A webhook was suspended", lines, _AT
    )


def sample_sign_in() -> Notice:
    return Notice(
        "019ab5a2-6c00-7000-8000-0000000000d3",
        "ann@callout.example",
        "Sign in",
        ("Open the link within 15 minutes to sign in as Ann Marsh. It works once.",),
        _AT,
        template="sign_in",
        link="https://callout.example/sign-in/link?token=3q2-7wAAAAA",
    )


def sample_notices() -> list[Notice]:
    return [sample_notice(), sample_sign_in()]


def sample_files() -> Notification:
    return replace(sample_notification(NoticeKind.NOTE_ADDED, Audience.CUSTOMER), note=None, files=_FILES)


def _of_customers_files(kind: NoticeKind) -> Notification:
    named = tuple(replace(file, data=None) for file in _FILES)
    return replace(sample_notification(kind, Audience.TECHNICIAN), note=None, files=named)


def all_samples() -> list[Notification]:
    """One of each kind to each audience, and those whose templates have further branches."""
    by_kind = {kind: [sample_notification(kind, audience) for audience in Audience] for kind in NoticeKind}
    receipt = sample_notification(NoticeKind.CREATED, Audience.CUSTOMER)
    by_staff = replace(receipt, ticket=replace(_OPENED, by_staff=True))
    without_note = [replace(each, note=None) for each in by_kind[NoticeKind.REOPENED]]
    return [
        *(each for samples in by_kind.values() for each in samples),
        by_staff,
        *without_note,
        sample_summary(),
        sample_files(),
        *map(_of_customers_files, (NoticeKind.CUSTOMER_ANSWERED, NoticeKind.REOPENED)),
    ]
