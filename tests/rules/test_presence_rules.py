"""The presences that servers keep, without servers: their messages are passed on by the test."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from itertools import count

import pytest

from db.enums import ActorKind, PresenceState
from db.errors import LimitExceeded
from pubsub import presence
from pubsub.bell import CARGO, CARGO_MAX
from pubsub.presence import OF_PERSON_MAX, SHOWN_MAX, Presences
from pubsub.presence_messages import Person, parsed
from tests.helpers.connecting import Clock

LASTING = 30
VIEWING, EDITING = PresenceState.VIEWING, PresenceState.EDITING
TICKET, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
ANN = Person(ActorKind.TECHNICIAN, "tec_ann", "Ann")
BOB = Person(ActorKind.ADMIN, "adm_bob", "Bob")

numbers = count(100)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("pubsub.presence.time", clock)
    return clock


def servers(number: int) -> list[Presences]:
    """Servers that are connected."""
    made = [Presences(LASTING) for _ in range(number)]
    for each in made:
        each.connected()
    exchange(made)
    return made


def exchange(servers: Sequence[Presences], deaf: Sequence[Presences] = ()) -> int:
    """Passes messages on until there are none, also to their senders; but none from or to those that are `deaf`.
    Returns how many there were."""
    passed = 0
    while messages := [message for server in servers if server not in deaf for message in server.load()]:
        passed += len(messages)
        for message in messages:
            assert message.startswith(CARGO) and len(message.encode()) <= CARGO_MAX
            for server in servers:
                if server not in deaf:
                    server.receive(message)
    return passed


def advance(clock: Clock, servers: Sequence[Presences], seconds: float, deaf: Sequence[Presences] = ()) -> int:
    """Lets time pass, in steps as the servers take them. Returns how many messages were sent."""
    passed = 0
    for _ in range(round(seconds)):
        clock.now += 1
        for server in servers:
            server.check(clock.now)
        passed += exchange(servers, deaf)
    return passed


def ignore(ticket: str) -> None:
    pass


def on(server: Presences, ticket: str = TICKET) -> list[tuple[str, PresenceState]]:
    return [(each.person.name, each.state) for each in server.on(ticket)]


def test_a_presence_is_seen_on_all_servers_that_watch_the_ticket(clock: Clock) -> None:
    one, two, three = all_ = servers(3)
    changes: list[str] = []
    two.watch(TICKET, changes.append)
    exchange(all_)
    one.set(ANN, TICKET, VIEWING, "socket")
    one.set(ANN, OTHER, VIEWING, "socket")
    exchange(all_)
    assert (on(two), on(three)) == ([("Ann", VIEWING)], [])
    one.set(ANN, TICKET, EDITING, "socket")
    exchange(all_)
    assert on(two) == [("Ann", EDITING)]
    one.leave(ANN, TICKET, "socket")
    exchange(all_)
    assert on(two) == []
    assert set(changes) == {TICKET}


def test_who_begins_to_watch_learns_who_is_there(clock: Clock) -> None:
    one, two = all_ = servers(2)
    one.set(ANN, TICKET, VIEWING, "socket")
    advance(clock, all_, 10)
    since = one.set(ANN, TICKET, VIEWING, "socket").since
    two.watch(TICKET, ignore)
    exchange(all_)
    (present,) = two.on(TICKET)
    assert (present.person.name, present.state) == ("Ann", VIEWING)
    assert abs((present.since - since).total_seconds()) < 1


def test_nothing_is_announced_where_no_other_server_asks(clock: Clock) -> None:
    one, _ = all_ = servers(2)
    one.watch(TICKET, ignore)
    exchange(all_)
    for _ in range(20):
        one.set(ANN, TICKET, VIEWING, "socket")
        one.set(ANN, TICKET, EDITING, "socket")
        one.leave(ANN, TICKET, "socket")
        assert exchange(all_) == 0
    one.unwatch(TICKET, ignore)
    assert advance(clock, all_, 300) == 0


def test_renewals_are_announced_twice_in_the_time_that_a_presence_lasts(clock: Clock) -> None:
    one, two = all_ = servers(2)
    two.watch(TICKET, ignore)
    exchange(all_)
    announced = 0
    for second in range(10 * LASTING):
        one.set(ANN, TICKET, VIEWING, "socket")
        clock.now += 1
        for server in all_:
            server.check(clock.now)
        for message in [message for server in all_ for message in server.load()]:
            for server in all_:
                server.receive(message)
            given = parsed(message)
            announced += len(given.announced) if given else 0
        assert on(two) == [("Ann", VIEWING)], second
    assert announced <= 2 * 10 + 2


@pytest.mark.parametrize("socket", ["socket", None])
def test_a_presence_ends_without_renewals_everywhere_at_once(socket: str | None, clock: Clock) -> None:
    one, two = all_ = servers(2)
    for server in all_:
        server.watch(TICKET, ignore)
    exchange(all_)
    one.set(ANN, TICKET, VIEWING, socket)
    advance(clock, all_, LASTING - 10)
    one.set(ANN, TICKET, VIEWING, socket)
    advance(clock, all_, LASTING - 1)
    assert on(one) == on(two) == [("Ann", VIEWING)]
    advance(clock, all_, 1)
    assert on(one) == on(two) == []


def test_the_presences_of_a_server_that_has_died_end(clock: Clock) -> None:
    one, two = all_ = servers(2)
    two.watch(TICKET, ignore)
    exchange(all_)
    one.set(ANN, TICKET, VIEWING, "socket")
    exchange(all_)
    advance(clock, all_, LASTING - 1, deaf=[one])
    assert on(two) == [("Ann", VIEWING)]
    advance(clock, all_, 1, deaf=[one])
    assert on(two) == []


def test_presences_come_back_after_an_outage_of_the_line(clock: Clock) -> None:
    one, two = all_ = servers(2)
    two.watch(TICKET, ignore)
    exchange(all_)
    one.set(ANN, TICKET, VIEWING, "a")
    one.set(BOB, TICKET, VIEWING, "b")
    exchange(all_)
    for _ in range(4):
        one.set(ANN, TICKET, EDITING, "a")
        advance(clock, all_, LASTING / 3, deaf=all_)
    assert on(two) == []
    two.connected()
    exchange(all_)
    one.connected()
    exchange(all_)
    assert on(two) == [("Ann", EDITING)]


def test_a_server_that_comes_later_is_asked_at_once(clock: Clock) -> None:
    (one,) = servers(1)
    one.watch(TICKET, ignore)
    exchange([one])
    new = Presences(LASTING)
    new.connected()
    new.set(ANN, TICKET, VIEWING, "socket")
    exchange([one, new])
    assert on(one) == [("Ann", VIEWING)]


def test_a_presence_ends_with_its_socket_and_no_other(clock: Clock) -> None:
    one, two = all_ = servers(2)
    two.watch(TICKET, ignore)
    exchange(all_)
    one.set(ANN, TICKET, VIEWING, "a")
    one.set(ANN, TICKET, EDITING, "b")
    one.set(BOB, TICKET, VIEWING, "c")
    exchange(all_)
    assert sorted(on(two)) == [("Ann", EDITING), ("Bob", VIEWING)]
    one.disconnected("b")
    exchange(all_)
    assert sorted(on(two)) == [("Ann", VIEWING), ("Bob", VIEWING)]
    one.disconnected("a")
    exchange(all_)
    assert on(two) == [("Bob", VIEWING)]


def test_a_presence_without_a_socket_moves_from_server_to_server(clock: Clock) -> None:
    one, two, three = all_ = servers(3)
    three.watch(TICKET, ignore)
    exchange(all_)
    for server, state in ((one, EDITING), (two, VIEWING), (one, VIEWING), (two, EDITING), (one, VIEWING)):
        server.set(ANN, TICKET, state)
        exchange(all_)
        assert on(three) == [("Ann", state)]
        clock.now += 1
    two.leave(ANN, TICKET)
    exchange(all_)
    assert on(three) == []


def test_the_newest_of_several_servers_counts_for_one_who_asks_later(clock: Clock) -> None:
    one, two, three = all_ = servers(3)
    for older, newer in ((one, two), (two, one)):  # whichever of them answers first
        ticket = str(uuid.UUID(int=next(numbers)))
        older.set(ANN, ticket, EDITING)
        clock.now += 5
        newer.set(ANN, ticket, VIEWING)
        three.watch(ticket, ignore)
        exchange(all_)
        assert on(three, ticket) == [("Ann", VIEWING)]
    one.set(BOB, OTHER, EDITING)
    clock.now += 1
    two.leave(BOB, OTHER)
    exchange(all_)
    three.watch(OTHER, ignore)
    exchange(all_)
    assert on(three, OTHER) == []


def test_what_somebody_has_lost_ends_on_all_their_sockets(clock: Clock) -> None:
    (one,) = servers(1)
    one.watch(TICKET, ignore)
    for person in (ANN, BOB):
        for socket in ("a", "b", None):
            one.set(person, TICKET, VIEWING, socket and f"{person.id} {socket}")
    one.lost(ANN, TICKET)
    assert on(one) == [("Bob", VIEWING)]


def test_a_person_can_be_on_so_many_tickets(clock: Clock) -> None:
    (one,) = servers(1)
    tickets = [str(uuid.UUID(int=next(numbers))) for _ in range(OF_PERSON_MAX)]
    for ticket in tickets:
        one.set(ANN, ticket, VIEWING)
    with pytest.raises(LimitExceeded, match="You are present on 50 tickets"):
        one.set(ANN, TICKET, VIEWING)
    one.set(ANN, tickets[0], EDITING)
    one.set(BOB, TICKET, VIEWING)
    one.leave(ANN, tickets[0])
    one.set(ANN, TICKET, VIEWING)


def test_a_server_keeps_so_many_presences(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "OWN_MAX", 3)
    (one,) = servers(1)
    for number in range(3):
        one.set(Person(ActorKind.ADMIN, f"adm_{number}", "Admin"), TICKET, VIEWING)
    with pytest.raises(LimitExceeded, match="Try again later"):
        one.set(ANN, TICKET, VIEWING)


def test_nothing_is_left_of_those_who_have_gone(clock: Clock) -> None:
    one, two = all_ = servers(2)
    empty = sizes(one)
    two.watch(TICKET, ignore)
    one.watch(TICKET, ignore)
    exchange(all_)
    for number in range(100):
        person = Person(ActorKind.TECHNICIAN, f"tec_{number}", f"Technician {number}")
        one.set(person, TICKET, VIEWING, f"socket {number}" if number % 2 else None)
        two.set(person, TICKET, VIEWING, f"socket {number}")
    exchange(all_)
    assert len(on(one)) == SHOWN_MAX
    one.unwatch(TICKET, ignore)
    two.unwatch(TICKET, ignore)
    for number in range(100):
        one.disconnected(f"socket {number}")
    advance(clock, all_, LASTING)
    assert sizes(one) == empty


def sizes(server: Presences) -> dict[str, int]:
    """The sizes of everything that the server keeps."""
    return {
        name: len(value)
        for name, value in vars(server).items()
        if hasattr(value, "__len__") and not isinstance(value, str)
    } | {"heard": vars(server)["_heard"]}


WRONG = [
    "{",
    "{}",
    '{"from": 5}',
    '{"from": "x", "asks": 5}',
    '{"from": "x", "asks": [5, null, "no id", []]}',
    '{"from": "x", "present": {}}',
    '{"from": "x", "present": [5, [], {}, [1, 2, 3, 4, 5, 6, 7, 8]]}',
    *(
        f'{{"from": "x", "present": [[{row}]]}}'
        for row in (
            f'"{TICKET}", "", "CUSTOMER", "cus_1", "Carl", "VIEWING", 0, 0',
            f'"{TICKET}", "", "SERVICE", "key_1", "Bot", "VIEWING", 0, 0',
            f'"{TICKET}", "", "ADMIN", "adm_1", "Ann", "SLEEPING", 0, 0',
            f'"{TICKET}", "", "ADMIN", "adm_1", "Ann", "VIEWING", -1, 0',
            f'"{TICKET}", "", "ADMIN", "adm_1", "Ann", "VIEWING", 0, 1e300',
            f'"{TICKET}", "", "ADMIN", "adm_1", "Ann", "VIEWING", "0", 0',
            f'"{TICKET}", "", "ADMIN", "adm_1", "{"A" * 201}", "VIEWING", 0, 0',
            f'"{TICKET}", "", "ADMIN", "adm_1", null, "VIEWING", 0, 0',
            f'"{TICKET}", "", ["ADMIN"], "adm_1", "Ann", "VIEWING", 0, 0',
            '"x", "", "ADMIN", "adm_1", "Ann", "VIEWING", 0, 0',
        )
    ),
]


@pytest.mark.parametrize("message", WRONG)
def test_a_foreign_message_changes_nothing(message: str, clock: Clock) -> None:
    (one,) = servers(1)
    one.watch(TICKET, ignore)
    one.set(BOB, TICKET, VIEWING)
    one.receive(message)
    assert on(one) == [("Bob", VIEWING)]


def test_no_server_can_end_what_is_bound_to_another_ones_socket(clock: Clock) -> None:
    one, two = all_ = servers(2)
    one.watch(TICKET, ignore)
    two.watch(TICKET, ignore)
    exchange(all_)
    one.set(ANN, TICKET, VIEWING, "socket")
    exchange(all_)
    two.leave(ANN, TICKET)
    two.lost(ANN, TICKET)
    exchange(all_)
    assert on(one) == on(two) == [("Ann", VIEWING)]


def test_long_names_fit_into_messages(clock: Clock) -> None:
    one, two = all_ = servers(2)
    two.watch(TICKET, ignore)
    exchange(all_)
    for number in range(40):
        one.set(Person(ActorKind.ADMIN, f"adm_{number:032}", '\U0001f600"' * 100), TICKET, VIEWING, number)
    exchange(all_)
    assert len(on(two)) == 40
