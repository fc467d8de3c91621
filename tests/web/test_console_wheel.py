"""The wheel contains the console, where a server finds it after the installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from callout.http.console import DIRECTORY, MANIFEST
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.skipif(not (DIRECTORY / MANIFEST).is_file(), reason="needs what `make console` builds with")


def test_the_wheel_contains_what_each_page_loads(tmp_path: Path) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, env=os.environ | {"PATH": path}, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        directory = f"{'-'.join(wheel.name.split('-')[:2])}.data/data/share/callout/console"
        names = set(opened.namelist())
        entries = json.loads(opened.read(f"{directory}/{MANIFEST}"))["entries"]
    assert entries.keys() == {"staff", "tech", "portal", "sign_in"}
    for entry in entries.values():
        for name in (entry["script"], *entry["styles"], *entry["preloads"]):
            assert {f"{directory}/{name}", f"{directory}/{name}.br"} <= names
    assert list(tmp_path.iterdir()) == [wheel]
