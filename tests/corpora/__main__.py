"""Reads the messages of public corpora as `callout mail-in` does, and prints how many read as their corpus says.

    make corpora FOLDERS="../talon ../email_reply_trimmer"
    python -m tests.corpora ../talon ../email_reply_trimmer --wrong
    make corpora FOLDERS="../talon --piped"

Each folder is a checkout of a corpus in `CORPORA`. Of any other folder the files `*.eml` are read, to see that reading
them fails nowhere. `--wrong` lists what reads otherwise. `--piped` pipes each through the command itself, to a server
with a new database, which is gone afterwards. No corpus is part of this repository.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from notifiers.inbound.reading import IncomingMail, read
from notifiers.message_ids import OwnMail
from tests.corpora import piped
from tests.corpora.case import Case
from tests.corpora.messages import MESSAGES
from tests.corpora.replies import REPLIES

CORPORA = (*MESSAGES, *REPLIES)

_OWN = OwnMail(frozenset({"support@callout.example"}), "callout.example")
_FAILED = "could not be parsed"


@dataclass
class Score:
    """How many messages of a corpus have an expectation of a kind, and how many meet it."""

    name: str
    messages: int = 0
    failed: list[str] = field(default_factory=list)
    aside: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[Case, str, IncomingMail]] = field(default_factory=list)

    def add(self, case: Case) -> None:
        mail = read(case.raw, _OWN)
        self.messages += 1
        self.aside += bool(mail.automatic or mail.unusable)
        if _FAILED in (mail.unusable or ""):
            self.failed.append(case.name)
        self.asked.update(kind for kind in ("text", "files", "subject") if getattr(case, kind) is not None)
        self.wrong += [(case, kind, mail) for kind in case.wrong(mail)]

    def row(self) -> str:
        wrong = Counter(kind for _, kind, _ in self.wrong)
        cells = [f"{self.asked[kind] - wrong[kind]} of {self.asked[kind]}" for kind in ("text", "files", "subject")]
        cells = [cell if not cell.endswith(" of 0") else "" for cell in cells]
        return f"| {self.name} | {self.messages} | {' | '.join(cells)} | {self.aside} | {len(self.failed)} |"


def main(arguments: list[str]) -> None:
    folders = [Path(folder) for folder in arguments if not folder.startswith("-")]
    if "--piped" in arguments:
        _pipe(folders)
        return
    scores = [_scored(folder) for folder in folders]
    print("| corpus | messages | texts | files | subjects | ignored or kept aside | failed |")
    print("|---|---|---|---|---|---|---|")
    for score in scores:
        print(score.row())
    if "--wrong" in arguments:
        for score in scores:
            for case, kind, mail in score.wrong:
                print(f"\n== {score.name}: {case.name} ({kind})\n-- expected\n{getattr(case, kind)}")
                print(f"-- read\n{mail.unusable or mail.automatic or getattr(mail, kind)}")


def _pipe(folders: list[Path]) -> None:
    with piped.server() as (pipe, url):
        found = [piped.piped(*_cases(folder), pipe, url) for folder in folders]
    print(piped.HEAD)
    for each in found:
        print(each.row())
    for each in found:
        for case, said in each.failed.items():
            print(f"\n== {each.name}: {case} was not received\n{said}")
        for case, words in each.lost.items():
            print(f"\n== {each.name}: {case} lacks {' '.join(words)}")


def _scored(folder: Path) -> Score:
    name, cases = _cases(folder)
    score = Score(name)
    for case in cases:
        score.add(case)
    return score


def _cases(folder: Path) -> tuple[str, Iterator[Case]]:
    """The name of the corpus in a folder, and its messages."""
    corpus = next((corpus for corpus in CORPORA if (folder / corpus.mark).exists()), None)
    return (corpus.name, corpus.cases(folder)) if corpus else (folder.name, _any(folder))


def _any(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.rglob("*.eml")):
        yield Case(str(path.relative_to(folder)), path.read_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
