"""Budgets for tests that are not about them."""

from __future__ import annotations

from callout.execution.budgets import UNLIMITED, Budget, Charge


def free_budget() -> Budget:
    return Budget(UNLIMITED)


def free_charge() -> Charge:
    """The charge of a request that may cost anything."""
    return free_budget().request()
