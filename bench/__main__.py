"""`python -m bench`: see `docs/benchmarks.md`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import compare, fanout, million
from bench.cases import CASES
from bench.report import print_machine

DATA = Path(".data").absolute()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What Callout costs, measured.")
    parser.add_argument("part", nargs="?", choices=["compare", "million", "fanout"], default="compare")
    parser.add_argument("--rounds", type=int, default=5, help="how often each server has its turn")
    parser.add_argument("--only", choices=[case.name for case in CASES], help="one case")
    arguments = parser.parse_args()
    print_machine()
    if arguments.part == "million":
        million.run(DATA / "bench-million")
    elif arguments.part == "fanout":
        fanout.run(DATA / "bench", rounds=arguments.rounds)
    else:
        compare.run(DATA / "bench", rounds=arguments.rounds, only=arguments.only)


if __name__ == "__main__":
    main()
