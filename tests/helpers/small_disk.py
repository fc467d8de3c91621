"""A disk that a test can fill."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


class SmallDisk:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._filling = path / "filling"

    def fill(self) -> None:
        with suppress(OSError), self._filling.open("wb", buffering=0) as filling:
            while True:
                filling.write(bytes(4096))

    def free(self) -> None:
        self._filling.unlink()


@contextmanager
def small_disk(megabytes: int) -> Iterator[SmallDisk]:
    """Yields a disk of its own, in memory. Skips the test where mounting one is not allowed."""
    with tempfile.TemporaryDirectory(prefix="callout-disk-") as name:
        path = Path(name)
        path.chmod(0o755)
        mounting = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", name], capture_output=True, check=False
        )
        if mounting.returncode:
            pytest.skip("only root can mount a small disk")
        try:
            yield SmallDisk(path)
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)
