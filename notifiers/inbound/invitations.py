"""Calendar invitations (iCalendar, RFC 5545, and iTIP, RFC 5546): what, when and where, in a few lines."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from notifiers.text import one_line

_BYTES_MAX = 100_000  # the library takes half a second for the worst of them
_EVENTS_MAX = 5
_LINE_MAX = 300  # characters

_CALLED = {"CANCEL": "Cancelled appointment", "REPLY": "Answer to an invitation", "REQUEST": "Invitation"}


def described(data: bytes) -> str:
    """The lines about the first events in a calendar; empty if it has none, or cannot be parsed."""
    if len(data) > _BYTES_MAX:
        return ""
    from icalendar import Calendar  # here, as it takes half a second to import

    try:
        calendar = Calendar.from_ical(data.lstrip())
        called = _CALLED.get(str(calendar.get("method", "")).upper(), "Appointment")
        return "\n\n".join(_event(called, event) for event in calendar.walk("VEVENT")[:_EVENTS_MAX])
    except Exception:  # noqa: BLE001 (the library's parsers fail in ways that nobody can list)
        return ""


def _event(called: str, event: Any) -> str:
    answers = [attendee.params.get("PARTSTAT") for attendee in _listed(event.get("attendee"))]
    said = {
        called: event.get("summary", "(no title)"),
        "When": " to ".join(filter(None, (_time(event.get("dtstart")), _time(event.get("dtend"))))),
        "Repeated": "yes" if event.get("rrule") else "",
        "Where": event.get("location", ""),
        "Answer": str(answers[0]).lower() if called == _CALLED["REPLY"] and len(answers) == 1 else "",
    }
    return "\n".join(f"{name}: {one_line(str(value), _LINE_MAX)}" for name, value in said.items() if value)


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values] if values is not None else []


def _time(value: Any) -> str:
    at = getattr(value, "dt", None)
    if isinstance(at, datetime):
        zone = value.params.get("TZID") or ("UTC" if at.tzinfo is not None else "")
        return f"{at:%a %d %b %Y, %H:%M} {zone}".strip()
    return f"{at:%a %d %b %Y}" if isinstance(at, date) else ""
