"""The README's tour, pasted into a shell unchanged: each step's output is the page's, except for ids and wording."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.process import free_port
from tests.helpers.terminal import Terminal

WITHIN = 60.0  # seconds; a `callout` process takes two to load
STEP = "-- next step --"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


def steps() -> list[tuple[str, str]]:
    """Returns the commands for the second terminal, each with the JSON that the page shows for it, if any."""
    return [
        (text, output if language == "json" else "")
        for (kind, text), (language, output) in pairwise([*BLOCKS, ("", "")])
        if kind == "sh" and not text.startswith(("make ", ".venv/"))
    ]


def documents(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:]


def shape(value: Any) -> Any:
    """Returns the value without the parts that vary, and without messages, whose wording may change."""
    if isinstance(value, dict):
        varying = {"id", "message", "requestId", "state"}
        return {key: type(item).__name__ if key in varying else shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return value


def with_reference_of_the_page(output: str) -> str:
    """Replaces the new ticket's reference, which is random, by the page's."""
    (drawn,) = set(re.findall(r"TKT-[A-Z0-9]{6}", output)) - {"TKT-AS3Z63", "TKT-2ZU2UD"}
    return output.replace(drawn, "TKT-7ZT7AX")


def wait_for(written: Path, part: str) -> None:
    end = time.monotonic() + WITHIN
    while part not in written.read_text():
        assert time.monotonic() < end, f"timed out waiting for {part!r}"
        time.sleep(0.05)


@pytest.fixture
def callout(database_url: str, tmp_path: Path) -> Iterator[Terminal]:
    """A server started as by `make run`, with the demo company. Its output is in the file `greeting`."""
    terminal = Terminal(database_url=database_url, data_dir=str(tmp_path), port=str(free_port()))
    assert terminal("seed").exit_code == 0
    greeting = tmp_path / "greeting"
    with greeting.open("w") as out, terminal.start("serve", stdout=out) as server:
        try:
            wait_for(greeting, "curl")
            yield terminal
        finally:
            server.terminate()


def test_the_tour_prints_the_pages_output(callout: Terminal, tmp_path: Path) -> None:
    exports = re.findall(r"^export .*$", (tmp_path / "greeting").read_text(), re.MULTILINE)
    script = f"\necho '{STEP}'\n".join(["\n".join(exports), *(command for command, _ in steps())])
    admin = exports[0].partition("=")[2]
    followed = tmp_path / "followed"
    with followed.open("w") as out, callout.start("follow", "--token", admin, stdout=out) as follower:
        try:
            wait_for(followed, "ready")
            bash = subprocess.run(
                ["bash", "-eu", "-c", script],
                env=os.environ | callout.settings,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                timeout=WITHIN,
            )
            wait_for(followed, "RESOLVED")
        finally:
            follower.terminate()

    shown = with_reference_of_the_page(bash.stdout).split(STEP)[1:]
    for (command, expected), got in zip(steps(), shown, strict=True):
        assert shape(list(documents(got))) == shape(list(documents(expected))), command
    (live,) = (text for kind, text in BLOCKS if kind == "text")
    assert with_reference_of_the_page(followed.read_text()).splitlines()[1:] == live.splitlines()[1:]
