"""How often addresses may be confirmed; `tests/mail/test_strangers.py` tests the page."""

from __future__ import annotations

from callout.http.confirm_attempts import OVERALL, PER_CLIENT, RIGHT, WRONG, ConfirmAttempts

NOW = 1_000.0
WRONG_MOST, RIGHT_MOST = int(PER_CLIENT / WRONG), int((PER_CLIENT - WRONG) / RIGHT) + 1


def attempts(on: ConfirmAttempts, client: str | None, number: int, now: float = NOW, *, right: bool = False) -> int:
    """Returns how many of the attempts are not refused."""
    passed = 0
    for _ in range(number):
        if not on.begin(client, now):
            passed += 1
            if right:
                on.was_right(client, now)
    return passed


def test_a_client_has_more_right_attempts_than_wrong_ones_and_gets_new_ones_with_time() -> None:
    on = ConfirmAttempts(NOW)
    assert attempts(on, "192.0.2.1", WRONG_MOST + 9) == WRONG_MOST
    assert attempts(on, "192.0.2.2", 2 * RIGHT_MOST, right=True) == RIGHT_MOST
    wait = on.begin("192.0.2.1", NOW)
    assert wait == WRONG / (PER_CLIENT / 60)
    assert not on.begin("192.0.2.1", NOW + wait)


def test_addresses_of_one_network_share_their_attempts() -> None:
    on = ConfirmAttempts(NOW)
    assert sum(attempts(on, f"2001:db8::{n:x}", 1) for n in range(1, 100)) == WRONG_MOST
    assert attempts(on, "2001:db8:0:1::1", 1) == 1


def test_all_clients_together_have_a_limit_which_bounds_what_is_remembered() -> None:
    on = ConfirmAttempts(NOW)
    most = int(OVERALL / WRONG)
    clients = [f"10.0.{n // 250}.{n % 250}" for n in range(most)]
    assert sum(attempts(on, client, 1) for client in clients) == most
    assert sum(attempts(on, f"10.9.0.{n}", 1) for n in range(100)) == 0
    assert attempts(on, None, 1) == 0
    assert len(on._of) == most
    for n in range(most):
        attempts(on, f"10.5.{n // 250}.{n % 250}", 1, NOW + 3_600)
    assert len(on._of) <= 2 * most


def test_a_client_that_is_refused_takes_nothing_from_the_others() -> None:
    on = ConfirmAttempts(NOW)
    attempts(on, "192.0.2.1", 10_000)
    assert attempts(on, "192.0.2.2", 1) == 1


def test_wrong_attempts_that_cost_no_look_up_take_nothing_from_the_others() -> None:
    on = ConfirmAttempts(NOW)
    for n in range(2 * int(OVERALL / WRONG)):
        client = f"10.0.{n // 250}.{n % 250}"
        assert not on.begin(client, NOW)
        on.was_no_look_up(client, NOW)
    assert attempts(on, "192.0.2.1", 1) == 1
    assert attempts(on, "10.0.0.1", WRONG_MOST) == WRONG_MOST - 1
    nobody = ConfirmAttempts(NOW)
    for _ in range(int(OVERALL / WRONG)):
        assert not nobody.begin(None, NOW)
        nobody.was_no_look_up(None, NOW)
    assert nobody.begin(None, NOW) > 0
