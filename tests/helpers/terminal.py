"""Runs the `callout` command with a test's own settings."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from click.testing import CliRunner, Result

from callout.cli import cli


class Terminal:
    """Runs `callout` with these settings and no others."""

    def __init__(self, **settings: str) -> None:
        self.settings = {f"CALLOUT_{name.upper()}": value for name, value in settings.items()}

    def __call__(self, *arguments: str) -> Result:
        """Runs the command in this process, which is quick; in a thread, because it starts its own event loop."""
        others: dict[str, str | None] = {name: None for name in os.environ if name.startswith("CALLOUT_")}
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(CliRunner().invoke, cli, arguments, env=others | self.settings).result()

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Starts the command in a process of its own."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CALLOUT_")}
        command = [sys.executable, "-m", "callout", *arguments]
        return subprocess.Popen(command, env=inherited | self.settings, text=True, **options)
