"""The cost of what varies: requests that differ each time, as those of real dashboards do. CPU per request, of the
server and of the database, as ratios to the floor in the same turn.

The servers and the turns are those of `compare`. Plain Strawberry takes part where it has what a case asks for.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import asyncpg
import orjson

from bench import cases, compare, database, million, servers
from bench.cases import Case, Connection, Draw
from bench.compare import TICKETS, Differs, Sample
from bench.load import Failed
from bench.report import Row, print_table
from bench.servers import Server
from db.enums import Role, TicketPriority, TicketStatus

CONNECTIONS: Final = 16
COMPARED: Final = 50  # requests of each case whose answers are compared
DOCUMENTS: Final = 500
CUSTOMERS: Final = 200

LIST = """query List($filter: TicketFilter, $first: Int) {
  tickets(filter: $filter, first: $first) {
    pageInfo { hasNextPage }
    nodes {
      id reference subject status priority category createdAt
      contact { name email }
      customer { id name }
      property { id address }
      technician { id name }
    }
  }
}"""

CREATE = """mutation Create($input: TicketCreateInput!) {
  ticketCreate(input: $input) {
    ticket { version subject status priority category contact { name email } customer { id name } }
    userErrors { code field message }
  }
}"""

FIELDS = (
    *("id", "reference", "subject", "status", "priority", "category", "createdAt", "updatedAt", "description"),
    *("resolution", "version", "source", "customer { id name email }", "property { id address }"),
    *("technician { id name }", "contact { name email }", "notes(first: 5) { nodes { id body createdAt } }"),
)
FIELDS_OF_A_DOCUMENT: Final = 10
OPEN_WORK = [TicketStatus.OPEN, TicketStatus.IN_PROGRESS]


@dataclass(frozen=True)
class Varied:
    """A case, and the largest accepted ratio of the database's CPU time to that for the floor; None if any is."""

    case: Case
    database: float | None = None


def technician(key: str) -> str:
    return f"technician {key}"


def customer(key: str) -> str:
    return f"customer {key}"


def _sets(words: Sequence[str]) -> list[list[str]]:
    """All sets of one or two of the words."""
    return [sorted(chosen) for size in (1, 2) for chosen in itertools.combinations(words, size)]


async def draw_filters(connection: Connection, count: int) -> list[Draw]:
    """800 filters in turn: one or two statuses, one or two priorities, a technician in 60 %, four page sizes."""
    technicians = await _technicians(connection)
    combined = itertools.product(_sets(list(TicketStatus)), _sets(list(TicketPriority)), (20, 25, 40, 50), (0, 1))
    draw = random.Random(7)
    filters = [
        (status, priority, first, draw.choice(technicians) if draw.random() < 0.6 else None)
        for status, priority, first, _ in combined
    ]
    draw.shuffle(filters)
    chosen = itertools.islice(itertools.cycle(filters), count)
    return [_filtered(*each) for each in chosen]


def _filtered(status: Sequence[str], priority: Sequence[str], first: int, key: str | None = None) -> Draw:
    filter = {"status": status, "priority": priority}
    path = f"/tickets/filtered?status={','.join(status)}&priority={','.join(priority)}&first={first}"
    if key is None:
        return Draw({"filter": filter, "first": first}, path=path)
    assignee = {"assignee": {"technicianId": f"tec_{key}"}}
    return Draw({"filter": filter | assignee, "first": first}, path=f"{path}&technician={key}")


async def draw_sizes(connection: Connection, count: int) -> list[Draw]:
    sizes = itertools.islice(itertools.cycle(range(20, 61)), count)
    return [_filtered(["OPEN"], ["HIGH"], first) for first in sizes]


async def draw_open_work(connection: Connection, count: int) -> list[Draw]:
    keys = itertools.islice(itertools.cycle(await _technicians(connection)), count)
    return [
        Draw(
            {"filter": {"status": OPEN_WORK, "assignee": {"technicianId": f"tec_{key}"}}, "first": 20},
            path=f"/technicians/{key}/work",
        )
        for key in keys
    ]


async def draw_own_work(connection: Connection, count: int) -> list[Draw]:
    keys = itertools.islice(itertools.cycle(await _technicians(connection)), count)
    variables = {"filter": {"status": OPEN_WORK}, "first": 20}
    return [Draw(variables, path=f"/technicians/{key}/own-work", viewer=technician(key)) for key in keys]


async def draw_of_customers(connection: Connection, count: int) -> list[Draw]:
    keys = itertools.islice(itertools.cycle(await _customers(connection)), count)
    return [Draw({"first": 20}, path=f"/customers/{key}/tickets", viewer=customer(key)) for key in keys]


async def draw_creations(connection: Connection, count: int) -> list[Draw]:
    draws = []
    for key in itertools.islice(itertools.cycle(await _customers(connection)), count):
        given = {"subject": f"Heater {random.getrandbits(32)}", "description": "It is cold.", "priority": "HIGH"}
        body = orjson.dumps(given | {"customer": key})
        draws.append(Draw({"input": given | {"customerId": f"cus_{key}"}}, "POST", "/tickets", body))
    return draws


async def draw_documents(connection: Connection, count: int) -> list[Draw]:
    """Documents that no server has seen: each has a number in its name, and ten random fields."""
    documents = []
    for number in itertools.islice(_numbers, count):
        fields = "\n".join(random.sample(FIELDS, FIELDS_OF_A_DOCUMENT))
        documents.append(f"query Q{number} {{ tickets(first: 10) {{ nodes {{\n{fields}\n}} }} }}")
    return [Draw({}, document=document) for document in documents]


_numbers = itertools.count()


async def _technicians(connection: Connection) -> list[str]:
    return [row["id"] for row in await connection.fetch("SELECT id::text FROM technicians ORDER BY id")]


async def _customers(connection: Connection) -> list[str]:
    """Customers with tickets: the first `CUSTOMERS` of them."""
    query = "SELECT customer_id::text AS id FROM tickets WHERE customer_id IS NOT NULL GROUP BY 1 ORDER BY 1 LIMIT $1"
    return [row["id"] for row in await connection.fetch(query, CUSTOMERS)]


DOCUMENTS_TARGET: Final = 4.0  # milliseconds of the server's CPU per document
NEVER_SEEN = Case("a document never seen", "", DOCUMENTS_TARGET, DOCUMENTS, 100, draw_documents)
CASES: Final = (
    Varied(Case("list, another filter", LIST, 2.0, 1600, 40, draw_filters), 1.3),
    Varied(Case("list, another first", LIST, 1.8, 1200, 40, draw_sizes)),
    Varied(Case("a technician's open work", LIST, 2.0, 1000, 0, draw_open_work), 1.5),
    Varied(Case("a technician's own list", LIST, 2.0, 1000, 0, draw_own_work), 1.5),
    Varied(Case("a customer's list", LIST, 1.8, 1500, 0, draw_of_customers), 3.0),
    Varied(Case("status change", cases.SET_STATUS, 1.6, 1000, 100, cases.draw_set_status, cases.setting_back)),
    Varied(Case("ticketCreate", CREATE, 2.2, 600, 0, draw_creations)),
    Varied(Case("detail", cases.DETAIL, 1.4, 3000, 100, cases.draw_detail)),
    Varied(Case("list unchanged", cases.LIST, 1.3, 1500, 40, cases.draw_list), 1.0),
    Varied(Case("board", cases.BOARD, 1.2, 400, 12, cases.draw_board), 1.0),
)

NAMES: Final = (NEVER_SEEN.name, *(each.case.name for each in CASES))

HEADER = (
    "case",
    "floor ms",
    "callout ms",
    "ratio",
    "spread",
    "target",
    "plain ratio",
    "db ms floor/callout/plain",
    "db ratio",
    "target",
)


def run(data: Path, *, tickets: int, rounds: int, connections: int, only: str | None = None) -> None:
    """Measures each case in `rounds` turns and prints the tables; `only` limits it to the case of this name. If a case
    cannot be measured, the others still are, and the exit status is 1."""
    chosen = [each for each in CASES if only in (None, each.case.name)]
    never_seen = only in (None, NEVER_SEEN.name)
    data_dir = data / {TICKETS: "bench", million.TICKETS: "bench-million"}.get(tickets, f"bench-{tickets}")
    with database.prepared(data_dir, tickets=tickets) as url:
        viewers = asyncio.run(_viewers(url))
        with (
            servers.baseline("floor", url, data_dir / "floor.log") as floor,
            servers.callout(url, data_dir / "callout.log", viewers) as callout,
            servers.baseline("plain", url, data_dir / "plain.log") as plain,
        ):
            asyncio.run(_run(url, (floor, callout, plain), chosen, never_seen, connections, rounds))


async def _viewers(url: str) -> dict[str, tuple[Role, str]]:
    connection = await asyncpg.connect(url)
    viewers = {technician(key): (Role.TECHNICIAN, f"tec_{key}") for key in await _technicians(connection)}
    viewers |= {customer(key): (Role.CUSTOMER, f"cus_{key}") for key in await _customers(connection)}
    await connection.close()
    return viewers


async def _run(
    url: str, contenders: Sequence[Server], chosen: Sequence[Varied], never_seen: bool, connections: int, rounds: int
) -> None:
    floor, callout, plain = contenders
    connection = await asyncpg.connect(url)
    postmaster = await database.postmaster(connection)

    async def measured(case: Case, taking_part: Sequence[Server]) -> list[list[Sample]]:
        await compare.check(connection, case, taking_part, COMPARED)
        return await compare.measure(connection, postmaster, case, connections, taking_part, rounds)

    # The documents come first, so that no other case has written the snippets that they need.
    if never_seen:
        _print_documents(await measured(NEVER_SEEN, (callout, plain)))
    rows = []
    for each in chosen:
        taking_part = (floor, callout, plain) if each.case.plain_requests else (floor, callout)
        try:
            rows.append(_row(each, await measured(each.case, taking_part)))
        except* (Failed, Differs) as failures:
            print(f"{each.case.name} could not be measured: {failures.exceptions[0]}\n", flush=True)
    await connection.close()
    if rows:
        print(f"{connections} connections; CPU per request\n")
        print_table(HEADER, rows)
    if len(rows) < len(chosen):
        raise SystemExit(1)


def _print_documents(samples: Sequence[Sequence[Sample]]) -> None:
    callout, plain = (1e3 * median(sample.server for sample in each) for each in samples)
    verdict = "pass" if callout <= DOCUMENTS_TARGET else "MISS"
    print("Documents that were never seen, each sent once: ms of the server's CPU per document\n")
    row = (f"{DOCUMENTS}", f"{callout:.2f}", f"≤ {DOCUMENTS_TARGET:.0f} {verdict}", f"{plain:.2f}")
    print_table(("documents", "callout", "target", "plain"), [row])


def _row(varied: Varied, samples: Sequence[Sequence[Sample]]) -> Row:
    case = varied.case
    server = _ratios(samples, lambda sample: sample.server)
    database_ = _ratios(samples, lambda sample: sample.database)
    milliseconds = [1e3 * median(sample.server for sample in each) for each in samples]
    return (
        case.name,
        f"{milliseconds[0]:.3f}",
        f"{milliseconds[1]:.3f}",
        f"{median(server[0]):.2f}",
        f"{min(server[0]):.2f} to {max(server[0]):.2f}",
        _verdict(median(server[0]), case.target),
        f"{median(server[1]):.0f}" if len(server) > 1 else "",
        " / ".join(f"{median(sample.database for sample in each) * 1000:.2f}" for each in samples),
        f"{median(database_[0]):.2f}",
        _verdict(median(database_[0]), varied.database),
    )


def _ratios(samples: Sequence[Sequence[Sample]], value: Callable[[Sample], float]) -> list[list[float]]:
    """The ratios of each other server to the floor, turn by turn."""
    floor, *others = [[value(sample) for sample in each] for each in samples]
    return [[one / base for one, base in zip(other, floor, strict=True)] for other in others]


def _verdict(ratio: float, target: float | None) -> str:
    return "" if target is None else f"≤ {target:.1f} {'pass' if ratio <= target else 'MISS'}"
