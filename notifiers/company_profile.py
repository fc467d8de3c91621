"""The company in whose name notifications are sent, as they present it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@dataclass(frozen=True, slots=True)
class CompanyProfile:
    """`logo_url` is an https URL of a picture, or None. Times are written in `zone`."""

    name: str = "Callout"
    logo_url: str | None = None
    zone: tzinfo = UTC

    def when(self, at: datetime) -> str:
        """`24 November 2026, 14:30 EST`, in the company's zone."""
        at = at.astimezone(self.zone)
        zone = at.tzname() or ""
        # Many zones have no abbreviation, and their name is the difference: `-03`.
        named = f"UTC{zone}" if zone[:1] in "+-" else zone
        return f"{at.day} {at:%B %Y, %H:%M} {named}"


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name in the IANA database. Raises `ValueError` if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a time zone of the IANA database, such as America/Toronto") from None
