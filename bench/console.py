"""The console's list of tickets in a browser: how soon it is drawn, how soon a change is on screen, how smoothly it
scrolls, and whether its memory stays flat while others work. Needs `make console` and Chromium."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final
from uuid import uuid4

import orjson
from playwright.async_api import Browser, BrowserContext, CDPSession, Page, async_playwright

from bench import database, servers
from bench.load import ask, post
from bench.report import print_table, show
from bench.servers import Server
from callout.http.session_cookie import NAME
from db.enums import Role
from db.postgres.pool import Database
from resolvers import session
from resolvers.session import KnownPerson

TICKETS: Final = 200_000
LOADS: Final = 10
CHANGES: Final = 40
IN_SIGHT: Final = 10  # rows that are on the screen in any case
CHANGE_PAUSE: Final = 0.4  # seconds, so that each change has a patch of its own
ROWS: Final = 10_000
PIXELS_A_FRAME: Final = 400
CHANGES_A_SECOND: Final = 10
SAMPLES: Final = 6  # of the memory, at equal distances

DRAWN_TARGET: Final = 500.0  # milliseconds from navigation
CHANGE_TARGET: Final = 100.0  # milliseconds from the commit

PRIORITIES: Final = ("LOW", "MEDIUM", "HIGH", "URGENT")
UPDATE = "mutation($input: TicketUpdateInput!) { ticketUpdate(input: $input) { ticket { id } } }"
NEWEST = "{ tickets(first: 100) { nodes { id reference priority } } }"

WHEN_DRAWN = """new MutationObserver((_, observer) => {
    if (!document.querySelector('.row-link')) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => globalThis.drawn = performance.now()));
}).observe(document, { childList: true, subtree: true });"""
"""Remembers the milliseconds from the navigation to the frame with the first row."""

WHEN_SHOWN = """([id, text]) => new Promise((resolve) => {
    const row = document.querySelector(`tr[data-id="${id}"] .cell-PRIORITY`);
    const observer = new MutationObserver(() => {
        if (!row.textContent.toUpperCase().includes(text)) return;
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => resolve(Date.now())));
    });
    observer.observe(row, { childList: true, subtree: true, characterData: true });
    globalThis.isWatching = id + text;
})"""

SCROLL = """([rows, pixels]) => new Promise((resolve) => {
    const frames = [];
    let empty = 0, before = performance.now();
    const last = () => Number([...document.querySelectorAll('tr[aria-rowindex]')].at(-1).ariaRowIndex);
    const step = (now) => {
        frames.push(now - before);
        before = now;
        if (!document.elementFromPoint(700, 500)?.closest('tr')) empty++;
        if (last() >= rows) resolve({ frames, empty });
        else { scrollBy(0, pixels); requestAnimationFrame(step); }
    };
    requestAnimationFrame(step);
})"""


@dataclass(frozen=True)
class Desk:
    """An admin's session, and what they change by the API."""

    browser: Browser
    server: Server
    secret: str

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """A page in a browser without caches."""
        context = await self.context()
        try:
            yield await context.new_page()
        finally:
            await context.close()

    async def context(self) -> BrowserContext:
        context = await self.browser.new_context(
            base_url=f"http://127.0.0.1:{self.server.port}", viewport={"width": 1440, "height": 900}
        )
        url = f"https://127.0.0.1:{self.server.port}"
        await context.add_cookies([{"name": NAME, "value": self.secret, "url": url, "secure": True, "httpOnly": True}])
        await context.add_init_script(WHEN_DRAWN)
        return context


def run(data_dir: Path, *, seconds: int) -> None:
    with (
        database.prepared(data_dir, tickets=TICKETS) as url,
        servers.callout(url, data_dir / "callout.log") as server,
    ):
        asyncio.run(_measure(url, server, seconds))


async def _measure(url: str, server: Server, seconds: int) -> None:
    executable = shutil.which(os.environ.get("CHROMIUM") or "chromium")
    secret = await _signed_in(url)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        desk = Desk(browser, server, secret)
        print(f"Chromium {browser.version}\n")
        first, again = await _drawn(desk)
        shown = await _changes(desk)
        print_table(
            ("what", "median ms", "worst ms", "target ms"),
            [
                ("navigation to the first rows, nothing cached", *_figures(first), f"{DRAWN_TARGET:.0f}"),
                ("navigation to the first rows, loaded again", *_figures(again), f"{DRAWN_TARGET:.0f}"),
                ("sending a change to seeing it", *_figures(shown), f"{CHANGE_TARGET:.0f}"),
            ],
        )
        await _scrolling(desk)
        await _soak(desk, seconds)
        await browser.close()


def _figures(times: Sequence[float]) -> tuple[str, str]:
    return f"{median(times):.0f}", f"{max(times):.0f}"


async def _signed_in(url: str) -> str:
    pool, key = await Database.open(url, size=1), str(uuid4())
    try:
        address = f"{key[:8]}@bench.example"
        await pool.execute("INSERT INTO admins (id, name, email) VALUES ($1, 'Bench', $2)", key, address)
        async with pool.transaction() as transaction:
            return await session.begin(transaction, KnownPerson(Role.ADMIN, key, "Bench"), "A browser", None)
    finally:
        await pool.close()


async def _drawn(desk: Desk) -> tuple[list[float], list[float]]:
    """Milliseconds from the navigation to the first rows, without caches, and with what the first time has cached. The
    first pair is left out: the server has compiled nothing yet."""
    first, again = [], []
    for _ in range(LOADS + 1):
        async with desk.page() as page:
            first.append(await _load(page))
            again.append(await _load(page))
    return first[1:], again[1:]


async def _load(page: Page) -> float:
    await page.goto("/tickets")
    return float(await (await page.wait_for_function("() => globalThis.drawn")).json_value())


async def _changes(desk: Desk) -> list[float]:
    """Milliseconds from sending each of many changes to the frame that shows it."""
    times = []
    async with desk.page() as page:
        await _load(page)
        tickets = (await _newest(desk))[:IN_SIGHT]
        for ticket in tickets * (CHANGES // IN_SIGHT):
            priority = next(one for one in PRIORITIES if one != ticket["priority"])
            seen = asyncio.create_task(page.evaluate(WHEN_SHOWN, [ticket["id"], priority]))
            await page.wait_for_function("wanted => globalThis.isWatching === wanted", arg=ticket["id"] + priority)
            sent = time.time() * 1_000
            await _update(desk, ticket["id"], priority)
            times.append(float(await seen) - sent)
            ticket["priority"] = priority
            await asyncio.sleep(CHANGE_PAUSE)
    return times


async def _newest(desk: Desk) -> list[dict[str, str]]:
    answer = orjson.loads(await ask(desk.server.port, post(NEWEST, {}, desk.server.token)))
    return list(answer["data"]["tickets"]["nodes"])


async def _update(desk: Desk, id_: str, priority: str) -> None:
    variables = {"input": {"ticketId": id_, "priority": priority}}
    await ask(desk.server.port, post(UPDATE, variables, desk.server.token))


async def _scrolling(desk: Desk) -> None:
    async with desk.page() as page:
        await _load(page)
        began = time.monotonic()
        found = await page.evaluate(SCROLL, [ROWS, PIXELS_A_FRAME])
        seconds = time.monotonic() - began
        nodes = await page.evaluate("document.querySelectorAll('*').length")
    frames = found["frames"][1:]
    print(f"{ROWS:,} rows scrolled in {seconds:.0f} s, at most {PIXELS_A_FRAME} pixels a frame\n")
    print_table(
        ("frames", "median ms", "95 % within ms", "worst ms", "without rows", "elements in the end"),
        [
            (
                f"{len(frames):,}",
                f"{median(frames):.1f}",
                f"{quantiles(frames, n=20)[-1]:.1f}",
                f"{max(frames):.0f}",
                f"{found['empty']:,}",
                f"{nodes:,}",
            )
        ],
    )


async def _soak(desk: Desk, seconds: int) -> None:
    """Shows the list while tickets in it change, and prints its memory."""
    async with desk.page() as page:
        await _load(page)
        inspector = await page.context.new_cdp_session(page)
        tickets = [ticket["id"] for ticket in await _newest(desk)]
        changing = asyncio.create_task(_keep_changing(desk, tickets))
        rows = []
        try:
            for sample in range(SAMPLES):
                if sample:
                    await asyncio.sleep(seconds / (SAMPLES - 1))
                show("samples of the memory", sample + 1, SAMPLES)
                heap, nodes = await _memory(inspector)
                rows.append((f"{sample * seconds / (SAMPLES - 1):.0f}", f"{heap:.2f}", f"{nodes:,}"))
            assert not changing.done(), changing.exception()
        finally:
            changing.cancel()
    print(f"{CHANGES_A_SECOND} changes a second of tickets that are shown\n")
    print_table(("seconds", "heap MB", "DOM nodes"), rows)


async def _keep_changing(desk: Desk, tickets: Sequence[str]) -> None:
    drawn = random.Random(1)
    due = time.monotonic()
    while True:
        await _update(desk, drawn.choice(tickets), drawn.choice(PRIORITIES))
        due += 1 / CHANGES_A_SECOND
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _memory(inspector: CDPSession) -> tuple[float, int]:
    """Megabytes of the script's heap and the number of DOM nodes, after a garbage collection."""
    await inspector.send("HeapProfiler.collectGarbage")
    heap = (await inspector.send("Runtime.getHeapUsage"))["usedSize"]
    return heap / 2**20, int((await inspector.send("Memory.getDOMCounters"))["nodes"])
