"""Pipes the messages of a corpus through `callout mail-in`, to a server with an empty database, and counts what becomes
of them: the exit codes, the outcomes, and of how many all words that the corpus expects are stored."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from db.postgres import embedded, migrate
from notifiers.inbound.reading import read
from notifiers.message_ids import OwnMail
from tests.corpora.case import Case
from tests.helpers.inbound_mail import Pipe, environment
from tests.helpers.process import callout_process

HEAD = "| corpus | messages | exit codes | outcomes | own words stored |\n|---|---|---|---|---|"

_OURS = "support@callout.example"
_OWN = OwnMail(frozenset({_OURS}), "callout.example")
_NO_LIMITS = {"mail_unvouched_per_hour": "1000000", "mail_unvouched_per_day": "10000000"}

# The texts of a message, wherever it led to.
_STORED = """
SELECT concat_ws(' ', message.text, note.body, note.quoted, CASE WHEN note.id IS NULL THEN ticket.description END)
FROM inbound_messages AS message
    LEFT JOIN tickets AS ticket ON ticket.id = message.ticket_id LEFT JOIN notes AS note ON note.id = message.note_id
WHERE message.key = $1"""


@dataclass
class Piped:
    """What has become of a corpus. `lost` are the messages with the words that are stored nowhere, `failed` those that
    were not received, with what the command said."""

    name: str
    messages: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    expected: int = 0
    lost: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def row(self) -> str:
        codes = ", ".join(f"{code}: {number}" for code, number in sorted(self.codes.items()))
        outcomes = ", ".join(f"{number} `{outcome}`" for outcome, number in self.outcomes.most_common())
        kept = f"{self.expected - len(self.lost)} of {self.expected}" if self.expected else ""
        return f"| {self.name} | {self.messages} | {codes} | {outcomes} | {kept} |"


@contextmanager
def server() -> Iterator[tuple[Pipe, str]]:
    """Yields the command, which reaches a server with a new database, and the database's URL."""
    with (
        tempfile.TemporaryDirectory(prefix="callout-corpora-") as directory,
        embedded.running(Path(directory) / "data", durable=False) as url,
    ):
        migrate.upgrade(url)
        settings = {"database_url": url, "jwt_secret": "s" * 48, "mail_from": f"Callout <{_OURS}>"} | _NO_LIMITS
        path = str(Path(directory) / "mail.socket")
        with callout_process(Path(directory), **settings, mail_socket=path):
            yield Pipe(environment(mail_socket=path)), url


def piped(name: str, cases: Iterable[Case], pipe: Pipe, url: str) -> Piped:
    found = Piped(name)
    for case in cases:
        done = pipe(case.raw)
        found.messages += 1
        found.codes[done.returncode] += 1
        found.outcomes[done.stdout.decode().partition(" ")[0].strip() or "none"] += 1
        if done.returncode or done.stderr:
            found.failed[case.name] = done.stderr.decode(errors="replace")
        elif case.text is not None:
            found.expected += 1
            stored = _words(asyncio.run(_stored(url, read(case.raw, _OWN).key)))
            missing = [word for word in _words(case.text) if word not in stored]
            if missing:
                found.lost[case.name] = missing
    return found


async def _stored(url: str, key: bytes) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval(_STORED, key) or "")
    finally:
        await connection.close()


def _words(text: str) -> dict[str, None]:
    return dict.fromkeys(re.findall(r"\w+", text))
