"""`make screenshots`: takes the picture of our mails for `docs/notifications.md`. It needs Chromium, at the path in
`CHROMIUM` or named `chromium`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

from db.enums import Audience, NoticeKind
from notifiers.company_profile import CompanyProfile, zone_of
from notifiers.links import TicketLinks
from notifiers.rendering import Templates
from notifiers.samples import sample_notification, sample_summary
from tests.helpers.paths import ROOT

PICTURE = ROOT / "docs" / "mails.png"
SECONDS = 60
SHOWN = [
    [
        sample_notification(NoticeKind.CREATED, Audience.CUSTOMER),
        sample_notification(NoticeKind.NOTE_ADDED, Audience.CUSTOMER),
    ],
    [
        sample_notification(NoticeKind.RESOLVED, Audience.CUSTOMER),
        sample_notification(NoticeKind.CONFIRM_ADDRESS, Audience.CUSTOMER),
    ],
    [
        sample_notification(NoticeKind.CREATED, Audience.ADMIN),
        sample_summary(),
    ],
    [
        sample_notification(NoticeKind.ASSIGNED, Audience.TECHNICIAN),
        sample_notification(NoticeKind.UNASSIGNED, Audience.TECHNICIAN),
    ],
    [
        sample_notification(NoticeKind.CUSTOMER_ANSWERED, Audience.TECHNICIAN),
        sample_notification(NoticeKind.REOPENED, Audience.TECHNICIAN),
    ],
]
WIDTH, HEIGHT = 540, 1_660  # pixels: the width of one column, the height of the picture


def page() -> str:
    """Returns an HTML page with all mails side by side."""
    url = "https://callout.example.com"
    company = CompanyProfile("Maple Alarms", zone=zone_of("America/Toronto"))
    texts = Templates(links=TicketLinks.below(url), confirm_url=f"{url}/confirm-address", company=company)
    columns = []
    for column in SHOWN:
        mails = (texts.render(sample)[1] for sample in column)
        columns.append("".join(_FRAME.format(escape(mail)) for mail in mails))
    style = "body{margin:0;display:flex;background:#eef1f4}" + f"iframe{{display:block;border:0;width:{WIDTH}px}}"
    return f"<!DOCTYPE html><style>{style}</style>" + "".join(f"<div>{column}</div>" for column in columns)


_FRAME = '<iframe srcdoc="{}" onload="this.height = this.contentDocument.documentElement.scrollHeight"></iframe>'


def take(picture: Path) -> None:
    """Takes the picture. Raises `FileNotFoundError` without Chromium, `CalledProcessError` if Chromium fails."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "mails.html"
        source.write_text(page())
        command = [
            os.environ.get("CHROMIUM", "chromium"),
            "--headless",
            "--no-sandbox",  # safe: it shows only our own HTML
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={directory}/profile",
            f"--window-size={WIDTH * len(SHOWN)},{HEIGHT}",
            f"--screenshot={picture}",
            source.as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)


if __name__ == "__main__":
    take(PICTURE)
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes", file=sys.stderr)
