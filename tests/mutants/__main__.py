"""Mutation tests: small faults that the tests must notice. `make mutants` applies each to a copy of the project, one at
a time, and runs the tests that should fail.

    python -m tests.mutants [WORD …]    only the mutants with one of these words in their topic, name or file

A mutant is an entry in a `.toml` file in this directory; the file's name is its topic:

    [[mutant]]
    name = "a deadlock is a fault of the server"
    file = "callout/execution/run.py"
    before = '''…'''    # occurs exactly once in the file
    after = '''…'''
    tests = ["tests/api/test_errors.py::test_a_deadlock_is_busy"]    # pytest arguments; one failure is enough

Each fixed fault is added here. The exit status is 1 if a mutant survives, if an entry no longer fits its file, or if a
test fails without a fault.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SECONDS_MAX: Final = 300  # of one run; tests that hang have noticed the fault
FAILED: Final = 1  # pytest's exit status


@dataclass(frozen=True)
class Mutant:
    topic: str
    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def misfit(self) -> str | None:
        """Returns why the entry does not fit the project, or None if it fits."""
        path = ROOT / self.file
        count = path.read_text().count(self.before) if path.is_file() else 0
        if count != 1:
            return f"`before` occurs {count} times in {self.file}"
        if self.before == self.after:
            return "`before` and `after` are the same"
        missing = [test for test in self.tests if not (ROOT / test.partition("::")[0]).is_file()]
        return f"there is no {missing[0]}" if missing else None if self.tests else "it names no tests"

    def apply(self, root: Path) -> None:
        path = root / self.file
        path.write_text(path.read_text().replace(self.before, self.after))


@dataclass(frozen=True)
class Run:
    status: int | None
    """Pytest's exit status, or None if it was killed."""
    output: str


def main(words: Sequence[str]) -> int:
    mutants = [mutant for mutant in load() if not words or any(word in _text(mutant) for word in words)]
    misfits = [(mutant, misfit) for mutant in mutants if (misfit := mutant.misfit())]
    for mutant, misfit in misfits:
        print(f"MISFIT    {mutant.topic}: {mutant.name} ({misfit})")
    if misfits or not mutants:
        print("Correct these entries first." if misfits else "No mutant matches.")
        return 1
    if not passes_without_faults(mutants):
        return 1
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = Counter(pool.map(try_out, mutants))
    survivors = results["SURVIVED"] + results["BROKEN"]
    skipped = f", {results['SKIPPED']} skipped, because something is not installed here" if results["SKIPPED"] else ""
    print(f"{results['noticed']} noticed, {survivors} survived{skipped}")
    return 1 if survivors else 0


def load() -> list[Mutant]:
    files = sorted(Path(__file__).parent.glob("*.toml"))
    entries = [(file.stem, entry) for file in files for entry in tomllib.loads(file.read_text())["mutant"]]
    return [Mutant(topic, **{**entry, "tests": tuple(entry["tests"])}) for topic, entry in entries]


def _text(mutant: Mutant) -> str:
    return f"{mutant.topic} {mutant.name} {mutant.file}"


def passes_without_faults(mutants: Sequence[Mutant]) -> bool:
    """Returns whether the mutants' tests pass without faults; otherwise their failures would prove nothing."""
    with copy_of_the_project() as root:
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        run = run_tests(root, [*tests, "-n", str(os.cpu_count())], within=SECONDS_MAX * 4)
    if run.status != 0:
        print(f"The tests fail without a fault.\n{run.output}")
    return run.status == 0


def try_out(mutant: Mutant) -> str:
    """Returns whether the tests have noticed the mutant, and prints it."""
    began = time.monotonic()
    with copy_of_the_project() as root:
        mutant.apply(root)
        run = run_tests(root, [*mutant.tests, "-n0", "-x"], within=SECONDS_MAX)
    # A server that does not start, or a module that cannot be imported, proves nothing about a test.
    noticed = run.status is None or (
        run.status == FAILED and re.search(r"^\d+ failed", run.output, re.MULTILINE) is not None
    )
    skipped = re.search(r"^\d+ skipped in", run.output, re.MULTILINE) is not None
    result = "noticed" if noticed else "BROKEN" if run.status else "SKIPPED" if skipped else "SURVIVED"
    print(f"{result:8}  {mutant.topic}: {mutant.name} ({time.monotonic() - began:.0f} s)", flush=True)
    if result == "BROKEN":
        print(run.output)
    return result


@contextmanager
def copy_of_the_project() -> Iterator[Path]:
    """Includes compiled files, with their times, so that a copy compiles only the changed file."""
    with tempfile.TemporaryDirectory(prefix="callout-mutant-", ignore_cleanup_errors=True) as directory:
        os.chmod(directory, 0o755)  # for the user that the database runs as, if root tests
        root = Path(directory) / "callout"
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(".*"))
        yield root


def run_tests(root: Path, arguments: Sequence[str], within: float) -> Run:
    environment = os.environ | {"PYTHONPATH": str(root)}
    options = ["-p", "no:cacheprovider", f"--basetemp={root.parent / 'tmp'}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *arguments],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return Run(None, "")
    return Run(process.returncode, re.sub(r"\x1b\[[0-9;]*m", "", output).strip() or "no output")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
