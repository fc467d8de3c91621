"""The command `python -m bench`; see `docs/benchmarks.md`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from bench import (
    attacks,
    compare,
    console,
    device,
    fanout,
    filters,
    idle,
    million,
    notifications,
    partitions,
    presence,
    replicas,
    returning,
    technicians,
    upgrading,
    vary,
    window,
    writes,
)
from bench.cases import CASES
from bench.report import print_machine

DATA = Path(".data").absolute()


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "compare": lambda given: compare.run(DATA / "bench", rounds=given.rounds, only=given.only),
    "vary": lambda given: vary.run(
        DATA, tickets=given.tickets, rounds=given.rounds, connections=given.connections, only=given.only
    ),
    "fanout": lambda given: fanout.run(DATA / "bench", rounds=given.rounds),
    "filters": lambda given: filters.run(DATA / "bench-live", rounds=given.rounds),
    "notifications": lambda given: notifications.run(DATA / "bench-notifications", rounds=given.rounds),
    "technicians": lambda given: technicians.run(DATA / "bench-live", rounds=given.rounds),
    "window": lambda given: window.run(DATA / "bench-live", rounds=given.rounds),
    "device": lambda given: device.run(DATA / "bench-live", rounds=given.rounds),
    "returning": lambda given: returning.run(DATA / "bench-live"),
    "partitions": lambda given: partitions.run(DATA / "bench-live"),
    "presence": lambda given: presence.run(DATA / "bench-live", rounds=given.rounds),
    "replicas": lambda given: replicas.run(DATA / "bench-live"),
    "idle": lambda given: idle.run(DATA / "bench-live"),
    "writes": lambda given: writes.run(DATA / "bench-live", rounds=given.rounds),
    "attacks": lambda given: attacks.run(
        DATA / "bench-live", seconds=given.seconds, budgets=given.budgets == "on", only=given.only
    ),
    "console": lambda given: console.run(DATA / "bench", seconds=given.soak),
    "million": lambda given: million.run(DATA / "bench-million"),
    "upgrading": lambda given: upgrading.run(DATA / "bench-million"),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures what Callout costs.")
    parser.add_argument("part", nargs="?", choices=list(PARTS), help="the part to run; all of them by default")
    parser.add_argument("--rounds", type=int, default=5, help="the number of turns that each server gets")
    names = dict.fromkeys([*(case.name for case in CASES), *vary.NAMES, *attacks.ATTACKS])
    parser.add_argument("--only", choices=list(names), help="run a single case of `compare`, `vary` or `attacks`")
    parser.add_argument("--seconds", type=int, default=attacks.SECONDS, help="the length of each of `attacks`")
    parser.add_argument("--budgets", choices=("on", "off"), default="on", help="whether `attacks` meet budgets")
    parser.add_argument("--soak", type=int, default=600, help="the seconds for which `console` watches its memory")
    parser.add_argument("--connections", type=int, default=vary.CONNECTIONS, help="the connections of `vary`")
    parser.add_argument("--tickets", type=int, default=compare.TICKETS, help="the size of the database of `vary`")
    arguments = parser.parse_args()
    print_machine()
    for part in [arguments.part] if arguments.part else PARTS:
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
