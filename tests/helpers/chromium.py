"""Debian's Chromium, driven by Playwright, and a server for the pages that it opens. Playwright's own browsers are not
used, because they come from a host that is no package index."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from tests.helpers.process import serving

WITHIN_MILLISECONDS = 30_000  # after which a waiting test fails


def executable() -> str | None:
    """The path of the browser in `CHROMIUM`, or of the one that is installed; None if there is none."""
    return shutil.which(os.environ.get("CHROMIUM") or "chromium")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # Without the sandbox, which root cannot have: it shows only our own pages.
        browser = await playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def pages(directory: Path) -> Iterator[str]:
    """Serves the files of a directory on a port of its own. Yields the origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=directory))
    with serving(server, threading.Event()):
        yield f"http://127.0.0.1:{server.server_port}"
