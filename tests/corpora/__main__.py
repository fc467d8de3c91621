"""Reads the messages of public corpora as `callout mail-in` does, and prints how many read as their corpus says.

    make corpora FOLDERS="../talon ../email_reply_trimmer"
    python -m tests.corpora ../talon ../email_reply_trimmer --wrong

Each folder is a checkout of a corpus in `CORPORA`. Of any other folder the files `*.eml` are read, to see that reading
them fails nowhere. `--wrong` lists what reads otherwise. Nothing is stored, and no corpus is part of this repository.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from notifiers.inbound.reading import IncomingMail, read
from notifiers.message_ids import OwnMail
from tests.corpora.case import Case
from tests.corpora.replies import REPLIES

CORPORA = REPLIES

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
    scores = [_scored(Path(folder)) for folder in arguments if not folder.startswith("-")]
    print("| corpus | messages | texts | files | subjects | ignored or kept aside | failed |")
    print("|---|---|---|---|---|---|---|")
    for score in scores:
        print(score.row())
    if "--wrong" in arguments:
        for score in scores:
            for case, kind, mail in score.wrong:
                print(f"\n== {score.name}: {case.name} ({kind})\n-- expected\n{getattr(case, kind)}")
                print(f"-- read\n{mail.unusable or mail.automatic or getattr(mail, kind)}")


def _scored(folder: Path) -> Score:
    corpus = next((corpus for corpus in CORPORA if (folder / corpus.mark).exists()), None)
    score = Score(corpus.name if corpus else folder.name)
    for case in corpus.cases(folder) if corpus else _any(folder):
        score.add(case)
    return score


def _any(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.rglob("*.eml")):
        yield Case(str(path.relative_to(folder)), path.read_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
