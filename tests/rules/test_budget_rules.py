"""The rules of budgets: how points are taken and come back, what a request costs, what a viewer may have at once."""

from __future__ import annotations

import pytest

from callout.execution import budgets
from callout.execution.budgets import REQUESTS_MAX, UNLIMITED, Allowance, Bucket, Budget, Budgets
from callout.execution.cost import Cost, price_of_building, price_of_document, price_of_request
from db.compiler.fields import Constant
from db.compiler.selection import Bound, Site, Weight
from db.enums import Role
from db.errors import LimitExceeded, RateLimited
from db.viewer import Viewer
from pubsub.quota import DIFFERENT_MAX, SUBSCRIPTIONS_MAX, Quota

ONE, OTHER = Viewer(Role.CUSTOMER, "1", "One"), Viewer(Role.CUSTOMER, "2", "Other")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(budgets, "monotonic", clock)
    return clock


# Points


def test_points_are_refilled_evenly_up_to_the_capacity() -> None:
    bucket = Bucket(60, now=0)
    assert bucket.take(60, now=0)
    assert [bucket.points(now) for now in (0, 1, 30, 60, 600)] == [0, 1, 30, 60, 60]
    assert bucket.take(60, now=600)
    assert not bucket.take(1, now=600.5)


def test_what_cannot_be_taken_takes_nothing() -> None:
    bucket = Bucket(60, now=0)
    assert bucket.take(50, now=0)
    assert not bucket.take(11, now=0)
    assert bucket.points(now=0) == 10
    assert (bucket.wait(11, now=0), bucket.wait(10, now=0)) == (1, 0)


def test_a_debt_is_paid_back_first_and_is_limited() -> None:
    bucket = Bucket(60, now=0)
    bucket.owe(70, now=0)
    assert bucket.points(now=0) == -10
    assert not bucket.take(1, now=10)
    assert bucket.take(1, now=11)
    bucket.owe(1_000, now=11)
    assert bucket.points(now=11) == -60


def test_a_refusal_says_how_long_to_wait(clock: Clock) -> None:
    charge = Budget(Allowance(60, 1)).request()
    charge.spend(55)
    with pytest.raises(RateLimited) as refused:
        charge.spend(15)
    assert refused.value.retry_after == 10
    assert (
        refused.value.message
        == "The request needs 15 more points, and 5 of your 60 a minute are left. Try again in 10 s."
    )
    clock.now += 10
    charge.spend(15)
    assert charge.requested == 70


def test_what_costs_more_than_a_whole_budget_is_not_worth_waiting_for(clock: Clock) -> None:
    charge = Budget(Allowance(60, 1)).request()
    with pytest.raises(LimitExceeded):
        charge.spend(60.5)
    charge.spend(60)


def test_a_viewer_can_have_only_so_many_requests_at_once(clock: Clock) -> None:
    budget = Budget(Allowance(60, 1))
    charges = [budget.request() for _ in range(REQUESTS_MAX + 1)]
    for charge in charges[:-1]:
        charge.__enter__()
    with pytest.raises(RateLimited), charges[-1]:
        pass
    charges[0].__exit__(None, None, None)
    with charges[-1]:
        assert budget.requests == REQUESTS_MAX


def test_each_viewer_has_a_budget_by_role_and_id(clock: Clock) -> None:
    all_ = Budgets({role: Allowance(100 + number, 1) for number, role in enumerate(Role)})
    budget = all_.of(ONE)
    assert all_.of(Viewer(Role.CUSTOMER, "1", "Renamed")) is budget
    assert all_.of(OTHER) is not budget
    assert all_.of(Viewer(Role.ADMIN, "1", "One")) is not budget
    assert [all_.of(Viewer(role, "1", "One")).bucket.capacity for role in Role] == [100, 101, 102, 103]


def test_only_budgets_that_are_like_new_are_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "_SWEPT_FROM", 4)
    all_ = Budgets(dict.fromkeys(Role, Allowance(60, 1)))
    spent, waiting, following, idle = (all_.of(Viewer(Role.CUSTOMER, name, name)) for name in "swfi")
    spent.owe(30)
    waiting.request().__enter__()
    following.live.enter("a feed")
    clock.now += 10
    all_.of(ONE)
    assert [all_.of(Viewer(Role.CUSTOMER, name, name)) for name in "swf"] == [spent, waiting, following]
    assert all_.of(Viewer(Role.CUSTOMER, "i", "i")) is not idle


# Prices


def site(parent: Site | None = None, objects: int = 0) -> Site:
    return Site(0 if parent is None else parent.number + 1, None, None, Constant(""), parent, True, Weight(objects))  # type: ignore[arg-type]


def test_the_cost_counts_the_conditions_of_each_root_and_of_each_row_around() -> None:
    lists = site()
    one = Cost().add(Weight(), [lists], [Bound(size=5, conditions=96)])
    assert one.conditions == 96
    many = Cost()
    for _ in range(100):
        many.add(Weight(), [lists], [Bound(size=5, conditions=96)])
    assert many.conditions == 9_600
    assert many.points == pytest.approx(100 * one.points)
    nested = Cost().add(Weight(), [lists, site(lists)], [Bound(size=50), Bound(conditions=3)])
    assert nested.conditions == 150


def test_changing_more_rows_costs_more() -> None:
    one, hundred = (Cost().add(Weight(), [site()], [Bound(changes=number)]) for number in (1, 100))
    assert hundred.points - one.points == pytest.approx(99 * (one.points - 1))


def test_building_costs_each_shape_and_each_statement() -> None:
    wide, other = [Bound("a shape", conditions=50)], [Bound("another", conditions=50)]
    assert price_of_building([wide]) > 50
    assert price_of_building([wide, other]) == pytest.approx(2 * price_of_building([wide]))
    assert price_of_building([wide]) < price_of_building([wide, wide]) < price_of_building([wide, other])


def test_longer_documents_and_bodies_cost_more() -> None:
    assert price_of_document(100) < price_of_document(1_000)
    assert price_of_request(1_000) < price_of_request(1_000_000)


# Subscriptions


def test_a_viewer_can_have_only_so_many_subscriptions() -> None:
    quota = Quota()
    for number in range(SUBSCRIPTIONS_MAX):
        quota.check(number % DIFFERENT_MAX)
        quota.enter(number % DIFFERENT_MAX)
    with pytest.raises(LimitExceeded, match="300 subscriptions"):
        quota.check(0)
    quota.leave(0)
    quota.check(0)


def test_a_viewer_can_have_only_so_many_different_subscriptions() -> None:
    quota = Quota()
    for number in range(DIFFERENT_MAX):
        quota.check(number)
        quota.enter(number)
    quota.check(0)
    with pytest.raises(LimitExceeded, match="100 different"):
        quota.check("another")
    quota.enter(0)
    quota.leave(0)
    with pytest.raises(LimitExceeded):
        quota.check("another")
    quota.leave(0)
    quota.check("another")


def test_without_budgets_nothing_is_limited() -> None:
    budget = Budget(UNLIMITED)
    for number in range(SUBSCRIPTIONS_MAX + 1):
        budget.live.check(number)
        budget.live.enter(number)
    for _ in range(REQUESTS_MAX + 1):
        budget.request().__enter__()
    budget.request().spend(1_000_000)
