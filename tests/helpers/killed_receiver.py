"""Runs examples/webhook_receiver.py, and kills it (SIGKILL) between the effect of some messages and their answers.

`python -m tests.helpers.killed_receiver PORT DATABASE KILLS`: the file KILLS has a line for each time.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.helpers.paths import ROOT

EVERY, MOST = 3, 4
answered = 0


def answer_or_die(handler: BaseHTTPRequestHandler, status: int, message: str | None = None) -> None:
    global answered
    answered += 1
    kills = Path(sys.argv[3])
    if answered % EVERY == 0 and len(kills.read_text().splitlines()) < MOST:
        with kills.open("a") as file:
            file.write("killed\n")
        os.kill(os.getpid(), signal.SIGKILL)
    SEND(handler, status, message)


if __name__ == "__main__":
    SEND = BaseHTTPRequestHandler.send_response
    BaseHTTPRequestHandler.send_response = answer_or_die  # type: ignore[method-assign, assignment]
    sys.argv[0] = "webhook_receiver.py"
    runpy.run_path(str(ROOT / "examples" / "webhook_receiver.py"), run_name="__main__")
