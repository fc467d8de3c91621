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
from notifiers.rendering import Templates
from notifiers.samples import sample_notification
from tests.helpers.paths import ROOT

PICTURE = ROOT / "docs" / "mails.png"
SECONDS = 60
SHOWN = [
    [(NoticeKind.CREATED, Audience.CUSTOMER), (NoticeKind.NOTE_ADDED, Audience.CUSTOMER)],
    [(NoticeKind.RESOLVED, Audience.CUSTOMER), (NoticeKind.UNASSIGNED, Audience.TECHNICIAN)],
    [(NoticeKind.CREATED, Audience.ADMIN), (NoticeKind.TEST, Audience.ADMIN)],
    [(NoticeKind.ASSIGNED, Audience.TECHNICIAN)],
]
WIDTH, HEIGHT = 540, 1_200  # pixels: the width of one column, the height of the picture


def page() -> str:
    """Returns an HTML page with all mails side by side."""
    texts = Templates(public_url="https://callout.example.com")
    columns = []
    for column in SHOWN:
        mails = (texts.render(sample_notification(kind, audience))[1] for kind, audience in column)
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
