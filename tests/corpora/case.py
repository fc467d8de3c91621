"""A message of a corpus, with what the corpus says of it, and how close our reading comes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from notifiers.inbound.reading import IncomingMail


@dataclass(frozen=True, slots=True)
class Case:
    """A message, and what the corpus expects of it; None where it says nothing.

    `text` is what a person wrote, compared without white space. `files` are the names of the files, in order.
    """

    name: str
    raw: bytes
    text: str | None = None
    files: tuple[str, ...] | None = None
    subject: str | None = None

    def wrong(self, mail: IncomingMail) -> list[str]:
        """The names of the expectations that the message, as it was read, does not meet."""
        found = {
            "text": self.text is None or squeezed(self.text) == squeezed(mail.text),
            "files": self.files is None or self.files == tuple(file.name for file in mail.files),
            "subject": self.subject is None or squeezed(self.subject) == squeezed(mail.subject),
        }
        return [name for name, met in found.items() if not met]


@dataclass(frozen=True, slots=True)
class Corpus:
    """A public collection of messages. A folder is a checkout of it if it has the file or folder `mark`."""

    name: str
    mark: str
    cases: Callable[[Path], Iterator[Case]]


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def reply(text: str, subtype: str = "plain") -> bytes:
    """A reply with this text, for corpora that have only texts."""
    message = EmailMessage()
    message["From"] = "someone@sender.example"
    message["To"] = "support@callout.example"
    message["Subject"] = "Re: a ticket"
    message.set_content(text.encode("utf-8", "replace").decode(), subtype=subtype, cte="quoted-printable")
    return bytes(message)


def unicode_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")
