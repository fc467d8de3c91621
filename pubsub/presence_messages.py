"""What servers say to each other about presence, as JSON that the bell carries.

A server that starts or reconnects says hello. One that watches tickets asks about them, and goes on asking as long as
it watches any: nobody announces anything unless somebody asks. Ages are durations, because the clocks of two servers
differ. Whoever can use the bell's line can send such messages, so what does not look like one is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from db.enums import STAFF, ActorKind, PresenceState
from db.ids import is_uuid
from db.limits import NAME_MAX
from pubsub.bell import CARGO_MAX

ASKED_MAX: Final = 150
"""The most tickets in a message that asks."""

_ID_MAX: Final = 100
_SOURCE_MAX: Final = 40
_AGE_MAX: Final = 1e8  # seconds, three years
_KINDS: Final = {ActorKind(role.value) for role in STAFF}


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the staff. `id` is what other members of the staff may know them by."""

    kind: ActorKind
    id: str
    name: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Announced:
    """The presence of a person on a ticket, as its server announces it; of one who has left, `state` is None. `source`
    is the socket that it is bound to; it is empty without one. `renewed` and `lasted` are the seconds since the last
    renewal, and since the state began."""

    ticket: str
    source: str
    person: Person
    state: PresenceState | None
    renewed: float
    lasted: float


@dataclass(frozen=True, slots=True)
class PresenceMessage:
    """A message of the server `sender`: it says hello, or asks about tickets if `asks` is not None, or announces."""

    sender: str
    hello: bool
    asks: Sequence[str] | None
    announced: Sequence[Announced]


def hello(sender: str, number: int) -> str:
    """`number` makes a server's messages different, because equal ones may be merged on their way."""
    return _message(sender, number, hello=True)


def asking(sender: str, number: int, tickets: Iterable[str]) -> str:
    """At most `ASKED_MAX` tickets; none, if all have been asked about before."""
    return _message(sender, number, asks=list(tickets))


def announcing(sender: str, number: int, announcements: Iterator[Announced]) -> str:
    """Takes as many announcements as a message has room for, at least one of those that there are."""
    head = _message(sender, number, present=[])[:-2]
    rows, size = [], len(head) + 2
    while size < CARGO_MAX - _ROW_MAX and (announced := next(announcements, None)) is not None:
        rows.append(_row(announced))
        size += len(rows[-1]) + 1
    return f"{head}{b','.join(rows).decode()}]}}"


def parsed(message: str) -> PresenceMessage | None:
    """None for what is no such message; rows that are wrong are left out."""
    try:
        given = orjson.loads(message)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(given, dict) or not isinstance(given.get("from"), str):
        return None
    asks, present = given.get("asks"), given.get("present", ())
    if not isinstance(asks, list | None) or not isinstance(present, list | tuple):
        return None
    tickets = None if asks is None else [ticket for ticket in asks if isinstance(ticket, str) and is_uuid(ticket)]
    rows = [announced for row in present if (announced := _announced(row)) is not None]
    return PresenceMessage(given["from"], given.get("hello") is True, tickets, rows)


_ROW_MAX: Final = 4 * NAME_MAX + 500  # bytes; a character takes up to 4, or 6 if it is escaped


def _message(sender: str, number: int, **content: object) -> str:
    return orjson.dumps({"from": sender, "n": number, **content}).decode()


def _row(announced: Announced) -> bytes:
    person = announced.person
    ages = (round(announced.renewed, 3), round(announced.lasted, 3))
    return orjson.dumps(
        (announced.ticket, announced.source, person.kind, person.id, person.name, announced.state, *ages)
    )


def _announced(row: Any) -> Announced | None:
    try:
        ticket, source, kind, id, name, state, renewed, lasted = row
        person = Person(ActorKind(kind), id, name)
        state = None if state is None else PresenceState(state)
    except (TypeError, ValueError):
        return None
    texts = ((ticket, _ID_MAX), (source, _SOURCE_MAX), (id, _ID_MAX), (name, NAME_MAX))
    if not all(isinstance(text, str) and len(text) <= most for text, most in texts) or not is_uuid(ticket):
        return None
    if person.kind not in _KINDS or not (_is_age(renewed) and _is_age(lasted)):
        return None
    return Announced(ticket, source, person, state, renewed, lasted)


def _is_age(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= _AGE_MAX
