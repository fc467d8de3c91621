"""Presence: who of the staff views or edits a ticket at the moment. It is in the memory of the servers alone.

    presences.set(person, ticket, PresenceState.EDITING, socket)    # again within `lasting` seconds, to renew it
    presences.watch(ticket, changed)                                # `changed(ticket)` when somebody comes or goes
    presences.on(ticket)                                            # the people there

A presence ends `lasting` seconds after its last renewal, or with the socket that it is bound to. One without a socket
belongs to the person alone: the last server that was used for it replaces what the others have.

Each server keeps the presences that were set on it. It hears of the others' by messages that the bell carries, and
keeps those on tickets that somebody watches here. Nothing is announced unless another server watches a ticket: a server
asks about a ticket when it begins to watch it, and goes on asking as long as it watches any. Renewals are announced
only when a presence would otherwise end elsewhere. So a lost message or connection costs some seconds of presence, and
those of a server that dies end everywhere after `lasting` seconds.
"""

from __future__ import annotations

import asyncio
import heapq
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, count, islice
from typing import Final, TypeAlias

from db.enums import PresenceState
from db.errors import LimitExceeded
from pubsub import presence_messages
from pubsub.presence_messages import ASKED_MAX, Announced, Person

OF_PERSON_MAX: Final = 50
"""The most presences of one person that a server keeps: one for each ticket, or for each socket and ticket."""

OWN_MAX: Final = 20_000
"""The most presences that may be set on one server; each takes about a kilobyte."""

HEARD_MAX: Final = 50_000
"""The most presences of other servers that one keeps."""

SHOWN_MAX: Final = 50
"""The most people who are shown on a ticket, those who came first."""

TO_ANNOUNCE_MAX: Final = OWN_MAX
"""The most announcements that wait for the bell; while it is disconnected, further ones are dropped."""

LOADED_MAX: Final = 4
"""The most messages that the bell carries at a time, so that they do not hold up rings."""

CHECKS: Final = 30
"""How often presences are checked for their end, in the time that they last."""

Watcher: TypeAlias = Callable[[str], None]
"""Called with a ticket's key when its presence has changed. Must not block or raise."""

_Key: TypeAlias = tuple[str, str]
"""The id of a person, and the source of their presence: a socket of some server, or empty without a socket."""


@dataclass(frozen=True, slots=True)
class Present:
    """What a person does on a ticket, and since when."""

    person: Person
    state: PresenceState
    since: datetime


@dataclass(slots=True, eq=False)
class _PresenceEntry:
    """A presence that was set here, or that the server `origin` has announced. `renewed` is the monotonic time of the
    last renewal, and `announced` of the last one that was announced."""

    ticket: str
    source: str
    person: Person
    state: PresenceState
    since: datetime
    renewed: float
    origin: str
    announced: float = 0.0
    socket: Hashable = None

    @property
    def key(self) -> _Key:
        return self.person.id, self.source


@dataclass(frozen=True, slots=True)
class _Left:
    """A presence that has ended, and when, in monotonic time."""

    person: Person
    at: float


class Presences:
    """The presences that a server knows; one for each process, as cargo of its bell. Run `run()` for as long as the
    process serves."""

    def __init__(self, lasting: int) -> None:
        """`lasting` is the seconds that a presence lasts without a renewal."""
        self.lasting = lasting
        self.waiting = asyncio.Event()
        self._name = secrets.token_hex(6)
        self._numbers = count()
        self._on: dict[str, dict[_Key, _PresenceEntry]] = {}
        self._own: dict[_PresenceEntry, None] = {}
        self._heard = 0
        self._of_person: Counter[str] = Counter()
        self._of_socket: defaultdict[Hashable, set[_PresenceEntry]] = defaultdict(set)
        self._sources: dict[Hashable, str] = {}
        self._due: list[tuple[float, int, _PresenceEntry]] = []
        """A heap with one item for each entry: when to look at it again."""
        self._watchers: dict[str, list[Watcher]] = {}
        self._says_hello = False
        self._asks = False
        self._to_ask: dict[str, None] = {}
        self._ask_again = 0.0
        self._asked_until = 0.0
        self._to_announce: dict[tuple[str, _Key], _Left | None] = {}

    async def run(self) -> None:
        """Ends presences when their time is over, forever."""
        while True:
            await asyncio.sleep(self.lasting / CHECKS)
            self.check(time.monotonic())

    # Of people here

    def set(self, person: Person, ticket: str, state: PresenceState, socket: Hashable = None) -> Present:
        """Sets or renews a presence, bound to `socket` unless that is None. Raises `LimitExceeded` if there are
        `OF_PERSON_MAX` of the person or `OWN_MAX` of all."""
        now, source = time.monotonic(), self._source(socket)
        entry = self._on.get(ticket, {}).get((person.id, source))
        if entry is not None and entry.origin == self._name:
            entry.renewed = now
            if entry.state is not state:
                entry.state, entry.since = state, datetime.now(UTC)
                self._changed(entry, now)
        else:
            self._check_limits(person)
            since = datetime.now(UTC)
            if entry is not None:
                since = entry.since if entry.state is state else since
                self._forget(entry)
            entry = _PresenceEntry(ticket, source, person, state, since, now, self._name, socket=socket)
            self._keep(entry, now)
            self._changed(entry, now)
        return Present(person, state, entry.since)

    def leave(self, person: Person, ticket: str, socket: Hashable = None) -> None:
        """Ends a presence. One without a socket ends on all servers, whichever it was set on."""
        now, key = time.monotonic(), (person.id, self._source(socket))
        entry = self._on.get(ticket, {}).get(key)
        if entry is not None:
            self._forget(entry)
            self._changed(entry, now)
        if socket is None:
            self._announce(ticket, key, _Left(person, now))

    def lost(self, person: Person, ticket: str) -> None:
        """Ends all presences of a person on a ticket that they have lost."""
        now = time.monotonic()
        for entry in list(self._on.get(ticket, {}).values()):
            if entry.person == person and entry.origin == self._name:
                self._forget(entry)
                self._changed(entry, now)

    def disconnected(self, socket: Hashable) -> None:
        """Ends the presences that are bound to the socket."""
        now = time.monotonic()
        for entry in list(self._of_socket.get(socket, ())):
            self._forget(entry)
            self._changed(entry, now)

    # Of people on a ticket

    def on(self, ticket: str) -> list[Present]:
        """The people on a watched ticket, those who came first at the top. Of a person's several presences the one with
        the highest state counts."""
        found: dict[str, Present] = {}
        for entry in self._on.get(ticket, {}).values():
            known = found.get(entry.person.id)
            if known is None or _outranks(entry, known):
                found[entry.person.id] = Present(entry.person, entry.state, entry.since)
        return sorted(found.values(), key=lambda presence: (presence.since, presence.person.id))[:SHOWN_MAX]

    def watch(self, ticket: str, watcher: Watcher) -> None:
        """Calls `watcher` when the presence on the ticket has changed, until `unwatch`. What other servers know is
        there a little later, and is then a change."""
        if ticket not in self._watchers:
            self._watchers[ticket] = []
            self._to_ask[ticket] = None
            self._ask()
        self._watchers[ticket].append(watcher)

    def unwatch(self, ticket: str, watcher: Watcher) -> None:
        watchers = self._watchers[ticket]
        watchers.remove(watcher)
        if not watchers:
            del self._watchers[ticket]
            self._to_ask.pop(ticket, None)
            for entry in list(self._on.get(ticket, {}).values()):
                if entry.origin != self._name:
                    self._forget(entry)

    # Entries

    def _source(self, socket: Hashable) -> str:
        """The name of a socket among those of all servers."""
        if socket is None:
            return ""
        return self._sources.get(socket) or f"{self._name}.{next(self._numbers)}"

    def _check_limits(self, person: Person) -> None:
        if self._of_person[person.id] >= OF_PERSON_MAX:
            raise LimitExceeded(f"You are present on {OF_PERSON_MAX} tickets, which is the most. Leave some of them.")
        if len(self._own) >= OWN_MAX:
            raise LimitExceeded("Too many people are present on tickets at the moment. Try again later.")

    def _keep(self, entry: _PresenceEntry, now: float) -> None:
        self._on.setdefault(entry.ticket, {})[entry.key] = entry
        self._look_again(entry, now)
        if entry.origin != self._name:
            self._heard += 1
            return
        self._own[entry] = None
        self._of_person[entry.person.id] += 1
        if entry.socket is not None:
            self._sources[entry.socket] = entry.source
            self._of_socket[entry.socket].add(entry)

    def _forget(self, entry: _PresenceEntry) -> None:
        entries = self._on[entry.ticket]
        del entries[entry.key]
        if not entries:
            del self._on[entry.ticket]
        if entry.origin != self._name:
            self._heard -= 1
            return
        del self._own[entry]
        self._of_person[entry.person.id] -= 1
        if not self._of_person[entry.person.id]:
            del self._of_person[entry.person.id]
        if entry.socket is not None:
            self._of_socket[entry.socket].discard(entry)
            if not self._of_socket[entry.socket]:
                del self._of_socket[entry.socket], self._sources[entry.socket]

    def _is_kept(self, entry: _PresenceEntry) -> bool:
        return self._on.get(entry.ticket, {}).get(entry.key) is entry

    def _changed(self, entry: _PresenceEntry, now: float) -> None:
        """Makes known that an entry of this server's has changed or gone."""
        self._notify(entry.ticket)
        if now < self._asked_until:
            self._announce(entry.ticket, entry.key, None if self._is_kept(entry) else _Left(entry.person, now))

    def _notify(self, ticket: str) -> None:
        for watcher in self._watchers.get(ticket, ()):
            watcher(ticket)

    # Time

    def _look_again(self, entry: _PresenceEntry, now: float) -> None:
        due = min(entry.renewed + self.lasting, now + self.lasting / 2)
        heapq.heappush(self._due, (due, next(self._numbers), entry))

    def check(self, now: float) -> None:
        """Ends what is over, announces renewals before they are missed, and goes on asking."""
        while self._due and self._due[0][0] <= now:
            _, _, entry = heapq.heappop(self._due)
            if not self._is_kept(entry):
                continue
            if entry.renewed + self.lasting <= now:
                self._forget(entry)
                self._notify(entry.ticket)
                continue
            if entry.origin == self._name and entry.renewed > entry.announced and now < self._asked_until:
                self._announce(entry.ticket, entry.key)
            self._look_again(entry, now)
        if self._watchers and now >= self._ask_again:
            self._ask()

    # Messages: the cargo of the bell

    def load(self) -> list[str]:
        now = time.monotonic()
        messages: list[str] = []
        while len(messages) < LOADED_MAX and (self._says_hello or self._asks or self._to_announce):
            messages.append(self._message(now))
        if self._asks or self._to_announce:
            self.waiting.set()
        return messages

    def receive(self, message: str) -> None:
        given = presence_messages.parsed(message)
        if given is None or given.sender == self._name:
            return
        now = time.monotonic()
        if given.hello and self._watchers:
            self._ask()
        if given.asks is not None:
            self._answer(given.asks, now)
        for announced in given.announced:
            self._hear(given.sender, announced, now)

    def connected(self) -> None:
        self._says_hello = True
        self._to_ask = dict.fromkeys(self._watchers)
        self._asks = bool(self._watchers)
        self._asked_until = 0.0
        self.waiting.set()

    def _ask(self) -> None:
        self._asks = True
        self.waiting.set()

    def _announce(self, ticket: str, key: _Key, left: _Left | None = None) -> None:
        if len(self._to_announce) < TO_ANNOUNCE_MAX:
            self._to_announce[ticket, key] = left
            self.waiting.set()

    def _message(self, now: float) -> str:
        number = next(self._numbers)
        if self._says_hello:
            self._says_hello = False
            return presence_messages.hello(self._name, number)
        if self._asks:
            tickets = list(islice(self._to_ask, ASKED_MAX))
            for ticket in tickets:
                del self._to_ask[ticket]
            self._asks = bool(self._to_ask)
            self._ask_again = now + self.lasting / 3
            return presence_messages.asking(self._name, number, tickets)
        return presence_messages.announcing(self._name, number, self._announcements(now))

    def _announcements(self, now: float) -> Iterator[Announced]:
        """Removes those that are taken from the ones that wait."""
        while self._to_announce:
            (ticket, key) = next(iter(self._to_announce))
            left = self._to_announce.pop((ticket, key))
            entry = self._on.get(ticket, {}).get(key)
            if entry is not None and entry.origin == self._name:
                entry.announced = entry.renewed
                lasted = (datetime.now(UTC) - entry.since).total_seconds()
                yield Announced(ticket, entry.source, entry.person, entry.state, now - entry.renewed, max(0.0, lasted))
            elif left is not None and now - left.at < self.lasting:
                yield Announced(ticket, key[1], left.person, None, now - left.at, 0.0)

    def _answer(self, tickets: Sequence[str], now: float) -> None:
        """Announces the presences here on these tickets; or all of them, if nobody has asked lately."""
        asked, self._asked_until = now < self._asked_until, now + self.lasting
        on_them = (self._on.get(ticket, {}).values() for ticket in tickets)
        for entry in chain.from_iterable(on_them) if asked else self._own:
            if entry.origin == self._name:
                self._announce(entry.ticket, entry.key)

    def _hear(self, sender: str, announced: Announced, now: float) -> None:
        ticket, key, renewed = announced.ticket, (announced.person.id, announced.source), now - announced.renewed
        entry = self._on.get(ticket, {}).get(key)
        if entry is not None:
            if entry.origin != sender and (entry.source or entry.renewed >= renewed):
                return  # it is somebody else's, or newer
            self._forget(entry)
        state = announced.state
        if ticket in self._watchers and state is not None and announced.renewed < self.lasting:
            since = datetime.now(UTC) - timedelta(seconds=announced.lasted)
            if entry is not None and entry.state is state:
                since = entry.since  # the way of the message must not move it
            if self._heard < HEARD_MAX:
                person = announced.person
                self._keep(_PresenceEntry(ticket, announced.source, person, state, since, renewed, sender), now)
        self._notify(ticket)


def _outranks(entry: _PresenceEntry, known: Present) -> bool:
    ranks = list(PresenceState)
    return (ranks.index(entry.state), known.since) > (ranks.index(known.state), entry.since)
