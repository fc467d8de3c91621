"""Paths: in the repository, and of the databases of tests."""

import os
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

MEMORY = Path("/dev/shm")
ROOM = 8 * 2**30  # bytes; a run of all tests needs less than a tenth of it at a time


def databases() -> str:
    """Returns the directory for data directories: in memory if there is room. PostgreSQL makes a thousand files for
    each database and removes them again, which costs ext4 more than the tests' statements cost PostgreSQL."""
    usable = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM
    return str(MEMORY) if usable else tempfile.gettempdir()
