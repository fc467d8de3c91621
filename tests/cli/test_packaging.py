"""The package: its contents, its dependencies, and its names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.paths import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock", "web/requirements.lock")
REQUIREMENT = re.compile(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)( ; [^\\]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def packages(project: dict[str, Any]) -> set[str]:
    return set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def locked(name: str) -> dict[str, str]:
    return {match[1]: match[2] for match in REQUIREMENT.finditer((ROOT / name).read_text())}


def test_every_package_is_in_the_import_contracts(project: dict[str, Any], packages: set[str]) -> None:
    linter = project["tool"]["importlinter"]
    layers = {package for layer in linter["contracts"][0]["layers"] for package in layer.split(" | ")}
    assert set(linter["root_packages"]) == layers == packages


def test_no_other_distribution_owns_one_of_our_names(packages: set[str]) -> None:
    # PyPI's package `schema`, for example, would silently overwrite ours.
    owners = {
        (distribution.metadata["Name"], top)
        for distribution in distributions()
        for path in distribution.files or ()
        if (top := path.parts[0].removesuffix(".py")) in packages
    }
    assert owners <= {("callout", package) for package in packages}


def test_the_project_cannot_be_published_by_mistake(project: dict[str, Any]) -> None:
    assert "Private :: Do Not Upload" in project["project"]["classifiers"]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_contains_only_versions_and_hashes(name: str) -> None:
    # So it names no host: hashes lock the content of a file, not its origin.
    assert REQUIREMENT.sub("", (ROOT / name).read_text()) == ""


def test_the_lock_files_agree() -> None:
    run, development, _ = (locked(name) for name in LOCKS)
    assert run.items() <= development.items()


def test_the_lock_files_contain_all_requirements(project: dict[str, Any]) -> None:
    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[>=]", each)[0].lower().replace(".", "-") for each in requirements}

    groups = project["dependency-groups"]
    run = names(project["project"]["dependencies"]) | names(groups["build"])
    assert names(project["build-system"]["requires"]) == names(groups["build"]) | names(groups["web"])
    assert names(groups["web"]) <= locked("web/requirements.lock").keys()
    extras = project["project"]["optional-dependencies"]
    assert run | names(extras["embedded"]) | names(extras["redis"]) <= locked("requirements.lock").keys()
    assert names(groups["dev"]).union(*map(names, extras.values())) <= locked("requirements-dev.lock").keys()


def test_the_wheel_can_migrate_a_database_and_write_mail(tmp_path: Path, packages: set[str]) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    # `tests/web/test_console_wheel.py` builds one with the console, which takes the npm registry.
    subprocess.run(build, cwd=ROOT, env=os.environ | {"CALLOUT_CONSOLE": "off"}, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    migrations = ROOT / "db" / "migrations"
    versions = {f"db/migrations/versions/{path.name}" for path in (migrations / "versions").glob("*.py")}
    assert versions and versions <= names
    assert {"db/migrations/env.py", "db/migrations/script.py.mako"} <= names
    assert {f"{package}/py.typed" for package in packages} <= names  # PEP 561
    templates = {f"notifiers/templates/{path.name}" for path in (ROOT / "notifiers" / "templates").iterdir()}
    assert templates and templates <= names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == packages


def test_a_server_with_a_database_of_its_own_needs_no_extra(project: dict[str, Any], tmp_path: Path) -> None:
    """The modules that the extras bring cannot be imported here."""
    extras = project["project"]["optional-dependencies"].values()
    modules = [re.split(r"[\[>=<]", each)[0].replace("-", "_") for requirements in extras for each in requirements]
    script = f"""
import sys
sys.modules |= dict.fromkeys({modules!r})
import callout.app, callout.cli, callout.doctor, callout.serve, callout.notification_worker
callout.cli.cli(["seed"], prog_name="callout")
"""
    given = {name: value for name, value in os.environ.items() if not name.startswith("CALLOUT_")}
    environment = given | {"CALLOUT_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The embedded PostgreSQL is not installed"), done.stderr


@pytest.mark.parametrize("name", [*LOCKS, "pyproject.toml", "Makefile", ".ci/run"])
def test_no_file_names_a_package_index(name: str) -> None:
    assert not re.search(r"index-url|find-links|https?://", (ROOT / name).read_text())
