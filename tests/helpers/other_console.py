"""`python -m tests.helpers.other_console DIRECTORY serve …`: Callout with the console that is in `DIRECTORY`, which may
be replaced while the server runs, as an update does."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

from callout.http import console


def copy(directory: Path, name: str) -> None:
    """Replaces what is in `directory` by the console that has been built, with this name in the name of each file: what
    a page has loaded before is gone, as after an update."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    originals = [path for path in console.DIRECTORY.iterdir() if path.suffix != ".br"]
    hashed = [path.name for path in originals if path.suffix != ".json" and path.stem != "service-worker"]
    names = {one: f"{name}-{one}" for one in hashed}
    for path in originals:
        if path.name == console.DOCUMENTS:
            shutil.copy(path, directory)
            continue
        text = path.read_text()
        for before, after in names.items():
            text = text.replace(before, after)
        (directory / names.get(path.name, path.name)).write_text(text)


def remove_document(directory: Path, name: str) -> None:
    """Takes an operation away from those that the server knows as its console's."""
    file = directory / console.DOCUMENTS
    kept = {number: text for number, text in json.loads(file.read_text()).items() if f" {name}" not in text}
    file.write_text(json.dumps(kept))


if __name__ == "__main__":
    console.DIRECTORY = Path(sys.argv.pop(1))  # type: ignore[misc]
    runpy.run_module("callout", run_name="__main__", alter_sys=True)
