"""Scrapes a server's metrics, and parses them with Prometheus' own parser."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

WITHIN = 20.0


@dataclass(frozen=True)
class Scrape:
    """The samples of one scrape: their values by name and labels; and the types of all families by name."""

    values: dict[tuple[str, frozenset[tuple[str, str]]], float]
    types: dict[str, str]
    text: str

    def __getitem__(self, name: str) -> float:
        """The sum of all samples of this name."""
        return self.sum(name)

    def sum(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        return sum(self.of(name, **labels).values())

    def of(self, name: str, **labels: str) -> dict[frozenset[tuple[str, str]], float]:
        wanted = labels.items()
        return {found: value for (of, found), value in self.values.items() if of == name and wanted <= set(found)}

    def labels(self, name: str, label: str) -> set[str]:
        """The values of a label."""
        return {value for found in self.of(name) for key, value in found if key == label}


def parsed(text: str) -> Scrape:
    values, types = {}, {}
    for family in text_string_to_metric_families(text):
        types[family.name] = family.type
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in values, f"{key} is there twice"
            values[key] = sample.value
    return Scrape(values, types, text)


class Metrics:
    """The metrics of the server process at a port."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/metrics"

    async def get(self, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=WITHIN) as client:
            return await client.get(self.url, headers=headers)

    async def scrape(self, **headers: str) -> Scrape:
        response = await self.get(**headers)
        assert response.status_code == 200, response.text
        return parsed(response.text)

    async def listening(self) -> None:
        """Waits until the process serves its metrics."""
        deadline = time.monotonic() + 3 * WITHIN
        while True:
            try:
                await self.get()
            except httpx.ConnectError:
                assert time.monotonic() < deadline, "timed out"
                await asyncio.sleep(0.1)
            else:
                return

    async def until(self, holds: Callable[[Scrape], bool]) -> Scrape:
        """Scrapes until the condition holds; fails if it never does."""
        deadline = time.monotonic() + WITHIN
        while not holds(found := await self.scrape()):
            assert time.monotonic() < deadline, "timed out"
            await asyncio.sleep(0.05)
        return found
