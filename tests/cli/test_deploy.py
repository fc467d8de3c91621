"""The examples in `deploy/`, without running them; `tests/http/test_proxies.py` runs the proxies."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from callout.settings import Settings, file_variable, variable
from tests.helpers.paths import ROOT

DEPLOY = ROOT / "deploy"
KNOWN = {name for field in Settings.model_fields for name in (variable(field), file_variable(field))}


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_the_examples_name_settings_that_there_are(path: Path) -> None:
    assert set(re.findall(r"\bCALLOUT_[A-Z_]*[A-Z]\b", path.read_text())) <= KNOWN


def test_the_image_has_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    copied = re.findall(r"^COPY (\w+) \1$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_unit() -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", str(DEPLOY / "callout.service")], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "callout.service" in line or "deploy/" in line]
    assert [line for line in said if "is not executable: No such file" not in line] == []
