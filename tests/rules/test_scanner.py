"""The scanner's protocol, with a daemon that speaks it (clamd(8))."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callout.files.scanner import Scanner, ScannerUnavailable, Unscannable
from tests.helpers.clamd import EICAR, Clamd


async def infection(scanner: Scanner, data: bytes) -> str | None:
    async def pieces() -> AsyncIterator[bytes]:
        yield data[:100_000]
        yield data[100_000:]

    return await scanner.infection(pieces())


async def test_a_file_is_clean_or_the_malware_in_it_is_named() -> None:
    async with Clamd() as clamd:
        scanner = Scanner.parse(clamd.url)
        await scanner.check()
        assert await infection(scanner, b"") is None
        assert await infection(scanner, b"harmless" * 100_000) is None
        assert await infection(scanner, b"x" * 100_000 + EICAR) == "Eicar-Signature"
        assert clamd.scanned == [0, 800_000, 100_000 + len(EICAR)]


async def test_a_scanner_may_listen_at_a_path(tmp_path: Path) -> None:
    async with Clamd(path=tmp_path / "clamd.ctl") as clamd:
        assert clamd.url.startswith("unix:///")
        assert await infection(Scanner.parse(clamd.url), EICAR) == "Eicar-Signature"


async def test_a_file_that_is_too_large_for_the_scanner_is_not_taken_for_clean() -> None:
    async with Clamd(limit=1_000) as clamd:
        scanner = Scanner.parse(clamd.url)
        for size in (1_001, 5_000_000):
            with pytest.raises(Unscannable):
                await infection(scanner, b"x" * size)


async def test_no_answer_and_a_strange_answer_are_no_verdict() -> None:
    async with Clamd() as clamd:
        scanner = Scanner.parse(clamd.url)
        for answer in (
            b"",
            b"stream: OK",
            b"stream: Can't allocate memory ERROR\0",
            b"HTTP/1.1 400 Bad Request\r\n",
            b"OK\0",
        ):
            clamd.answer = answer
            if answer == b"stream: OK":  # ended by the connection instead of a NUL
                assert await infection(scanner, b"x") is None
                continue
            with pytest.raises(ScannerUnavailable):
                await infection(scanner, b"x")
            with pytest.raises(ScannerUnavailable):
                await scanner.check()
    with pytest.raises(ScannerUnavailable, match="cannot be reached"):
        await infection(scanner, b"x")


@pytest.mark.parametrize(
    "url", ["clamd", "http://a:3310", "tcp://", "unix://host/path", "tcp://a/b", "tcp://u:p@a", "unix:"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="tcp://host:3310"):
        Scanner.parse(url)
