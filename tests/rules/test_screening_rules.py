"""What may be sent, rule by rule; `tests/mail/test_strangers.py` tests the mail that follows."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.enums import Audience, DeliveryChannel, DeliveryState, NoticeKind
from notifiers import screening_rules
from notifiers.contacts import CONFIRMABLE, domain_digest, mailbox_digest
from notifiers.screening_rules import MAIL_IN, RETRY, Candidate, Limits, Rules, Ruling, Summary, Usage, caller_of

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
LIMITS = Limits(
    confirmations_per_address=3,
    confirmations_per_customer=4,
    confirmations_per_service=5,
    receipts_per_address=2,
    addresses_per_domain=6,
    answers_per_ticket=2,
    answers_per_customer=3,
    summary_after=2,
    summary_time=timedelta(minutes=10),
)
PENDING, HELD, DROPPED = DeliveryState.PENDING, DeliveryState.HELD, DeliveryState.DROPPED

_numbers = itertools.count(1)


def candidate(**given: Any) -> Candidate:
    """Returns mail about a new ticket to a stranger, whose address the customer `CUSTOMER:cora` typed."""
    n = next(_numbers)
    address = given.get("address", f"stranger{n}@example.com")
    values = {
        "id": str(n),
        "kind": NoticeKind.CREATED,
        "channel": DeliveryChannel.EMAIL,
        "audience": Audience.CUSTOMER,
        "address": address,
        "mailbox": mailbox_digest(address),
        "domain": domain_digest(address),
        "queued_at": NOW,
        "ticket_id": f"ticket {n}",
        "customer_id": None,
        "scope": "CUSTOMER:cora",
        "caller": "CUSTOMER:cora",
        "by_staff": False,
        "authenticated": True,
        "own": False,
        "confirmed": False,
        "of_admin": False,
        "asked_until": None,
    }
    return Candidate(**values | given)


def rules(usage: Usage | None = None) -> Rules:
    return Rules(LIMITS, usage or Usage(), NOW, timedelta(days=3))


def passes(it: Candidate) -> bool:
    return rules().rule(it) == Ruling(it.id, it.audience)


# Who needs no confirmation


@pytest.mark.parametrize("kind", list(NoticeKind))
@pytest.mark.parametrize("fact", ["by_staff", "own", "confirmed"])
def test_staffs_own_and_confirmed_addresses_get_mail(kind: NoticeKind, fact: str) -> None:
    assert passes(candidate(kind=kind, **{fact: True}))


@pytest.mark.parametrize("kind", list(NoticeKind))
@pytest.mark.parametrize("audience", [Audience.ADMIN, Audience.TECHNICIAN])
def test_staff_are_notified_of_strangers_tickets(kind: NoticeKind, audience: Audience) -> None:
    assert passes(candidate(kind=kind, audience=audience))


def test_google_chat_has_no_address_to_confirm() -> None:
    assert passes(candidate(channel=DeliveryChannel.GOOGLE_CHAT, audience=Audience.SPACE))


# Answers


def answer(ticket_id: str, customer_id: str | None, address: str = "tess@company.test", **given: Any) -> Candidate:
    about = {"ticket_id": ticket_id, "customer_id": customer_id, "kind": NoticeKind.CUSTOMER_ANSWERED}
    return candidate(address=address, **{"audience": Audience.TECHNICIAN} | about | given)


def test_a_recipient_is_notified_of_a_few_answers_to_a_ticket_and_by_a_customer() -> None:
    one = rules()
    said = [one.rule(answer("t1", "ann")).said for _ in range(3)]
    said += [one.rule(answer("t2", "ann")).said for _ in range(2)]
    often, everywhere = screening_rules.ANSWERED_OFTEN, screening_rules.ANSWERS_EVERYWHERE
    assert said == [None, None, often, None, everywhere]
    assert [one.rule(answer("t3", None)).state for _ in range(3)] == [PENDING, PENDING, DROPPED]
    for other in (answer("t1", "ann", "tom@company.test"), answer("t4", "ben"), answer("t5", None)):
        assert one.rule(other) == Ruling(other.id, other.audience)
    space = {"channel": DeliveryChannel.GOOGLE_CHAT, "audience": Audience.SPACE}
    assert [one.rule(answer("t1", "ann", "", **space)).state for _ in range(3)] == [PENDING, PENDING, DROPPED]


# Confirmations


@pytest.mark.parametrize("kind", [NoticeKind.CREATED, NoticeKind.NOTE_ADDED, NoticeKind.RESOLVED])
def test_mail_to_a_stranger_is_held_and_the_stranger_is_asked(kind: NoticeKind) -> None:
    ruling = rules().rule(candidate(kind=kind))
    assert (ruling.state, ruling.due_at, ruling.asks) == (HELD, NOW + CONFIRMABLE, True)


def test_a_stranger_is_asked_once_for_what_one_confirmation_counts_for() -> None:
    one = rules()
    ruled = [one.rule(candidate(address="a@b.test")) for _ in range(10)]
    assert [ruling.asks for ruling in ruled] == [True] + [False] * 9
    assert {ruling.state for ruling in ruled} == {HELD}
    before = rules().rule(candidate(asked_until=NOW + RETRY))
    assert (before.state, before.due_at, before.asks) == (HELD, NOW + RETRY, False)


def test_an_address_is_asked_a_few_times_a_day_whoever_asks_and_however_it_is_spelt() -> None:
    one = rules()
    spellings = ("a.b@c.test", "A.B@c.test", "ab+1@c.test", "a.b+2@C.test", "ab@c.test")
    ruled = [
        one.rule(
            candidate(address=address.lower(), mailbox=mailbox_digest(address), scope=str(n), caller=f"SERVICE:{n}")
        )
        for n, address in enumerate(spellings)
    ]
    assert [ruling.asks for ruling in ruled] == [True] * 3 + [False] * 2
    assert [(ruling.state, ruling.said) for ruling in ruled[3:]] == [(DROPPED, screening_rules.OVERASKED)] * 2
    assert rules(Usage(asked_of=one._usage.asked_of)).rule(candidate(address="other@c.test")).asks


@pytest.mark.parametrize("kind", [NoticeKind.NOTE_ADDED, NoticeKind.RESOLVED])
def test_what_staff_have_written_waits_where_a_receipt_is_dropped(kind: NoticeKind) -> None:
    mailbox = mailbox_digest("a@b.test")
    full = Usage()
    full.asked_of[mailbox] = LIMITS.confirmations_per_address
    ruling = rules(full).rule(candidate(kind=kind, address="a@b.test"))
    assert (ruling.state, ruling.due_at, ruling.screened) == (PENDING, NOW + RETRY, False)
    late = rules(full).rule(candidate(kind=kind, address="a@b.test", queued_at=NOW - timedelta(days=3)))
    assert (late.state, late.said) == (DROPPED, screening_rules.TOO_LATE)


@pytest.mark.parametrize(("caller", "most"), [("CUSTOMER:cora", 4), ("SERVICE:chatbot", 5), (MAIL_IN, 5)])
def test_a_caller_asks_a_limited_number_of_strangers_and_the_others_wait(caller: str, most: int) -> None:
    one = rules()
    ruled = [one.rule(candidate(caller=caller, scope=str(n))) for n in range(most + 3)]
    assert [ruling.asks for ruling in ruled] == [True] * most + [False] * 3
    assert {(ruling.state, ruling.screened, ruling.said) for ruling in ruled[most:]} == {
        (PENDING, False, screening_rules.WAITS_FOR_CALLER)
    }


def test_a_few_mailboxes_of_a_domain_are_asked_whoever_causes_it_and_the_others_wait() -> None:
    one = rules()
    ruled = [one.rule(candidate(address=f"a{n}@b.test", caller=f"SERVICE:{n}", scope=str(n))) for n in range(8)]
    assert [ruling.asks for ruling in ruled] == [True] * 6 + [False] * 2
    assert [(ruling.state, ruling.screened, ruling.said) for ruling in ruled[6:]] == [
        (PENDING, False, screening_rules.WAITS_FOR_DOMAIN)
    ] * 2
    again = candidate(address="A.0+x@b.test", scope="again")
    assert one.rule(again).asks  # this one was counted
    assert one.rule(candidate(address="a9@sub.b.test")).asks
    assert not rules(Usage(asked_at=one._usage.asked_at)).rule(candidate(address="a9@b.test")).asks


@pytest.mark.parametrize(
    ("creator", "caller"),
    [
        (("CUSTOMER", "c1", "CUSTOMER"), "CUSTOMER:c1"),
        (("CUSTOMER", "c1", "EMAIL"), MAIL_IN),  # its sender may be forged
        (("CUSTOMER", "mailto:a@b.test", "EMAIL"), MAIL_IN),
        (("SERVICE", "k1", "EMAIL"), "SERVICE:k1"),
        (("SERVICE", "k1", "CHATBOT"), "SERVICE:k1"),
    ],
)
def test_all_senders_of_mail_are_one_caller(creator: tuple[str, str, str], caller: str) -> None:
    assert caller_of(*creator) == caller


@pytest.mark.parametrize(
    "spelling",
    ["ANN@example.com", "a.n.n@example.com", "ann+x@example.com", "ann@\uff45xample.com", "Ann+a+b@EXAMPLE.com"],
)
def test_spellings_of_one_mailbox_have_one_digest(spelling: str) -> None:
    assert mailbox_digest(spelling) == mailbox_digest("ann@example.com")


@pytest.mark.parametrize("other", ["ann@example.org", "anne@example.com", "ann@x.example.com", "x+ann@example.com", ""])
def test_other_mailboxes_have_other_digests(other: str) -> None:
    assert mailbox_digest(other) != mailbox_digest("ann@example.com")


def test_two_forms_of_a_domain_are_one() -> None:
    assert mailbox_digest("a@bücher.example") == mailbox_digest("a@xn--bcher-kva.example")


# Receipts


@pytest.mark.parametrize(
    "given", [{"own": True, "authenticated": False}, {"confirmed": True}, {"own": True, "confirmed": True}]
)
def test_a_contact_gets_a_limited_number_of_receipts_that_others_cause(given: dict[str, bool]) -> None:
    it = {"authenticated": False, **given, "address": "a@b.test"}
    one = rules()
    ruled = [one.rule(candidate(**it)) for _ in range(4)]
    assert [(ruling.state, ruling.said) for ruling in ruled] == [(PENDING, None)] * 2 + [
        (DROPPED, screening_rules.OVERFULL)
    ] * 2
    assert one.rule(candidate(**it, kind=NoticeKind.RESOLVED)).state is PENDING


def test_a_customers_receipts_for_their_own_tickets_are_not_limited() -> None:
    one = rules()
    assert {one.rule(candidate(own=True, address="a@b.test")).state for _ in range(10)} == {PENDING}


# Admins


def test_an_admin_gets_a_summary_after_some_single_mails() -> None:
    one = rules()
    to_ada = {"audience": Audience.ADMIN, "address": "ada@company.test"}
    ruled = [one.rule(candidate(**to_ada)) for _ in range(5)]
    assert [ruling.summary_id for ruling in ruled] == [None, None] + [ruled[2].id] * 3
    assert [ruling.state for ruling in ruled] == [PENDING, PENDING, PENDING, HELD, HELD]
    assert ruled[2].due_at == NOW + LIMITS.summary_time
    assert one.rule(candidate(**to_ada | {"address": "bea@company.test"})).summary_id is None


def test_a_summary_that_is_not_due_yet_is_filled_and_a_full_one_is_not() -> None:
    to_ada = {"audience": Audience.ADMIN, "address": "ada@company.test"}
    usage = Usage(summaries={"ada@company.test": Summary("first", NOW, screening_rules.SUMMARY_MAX - 1)})
    usage.singles["ada@company.test"] = LIMITS.summary_after
    one = rules(usage)
    ruled = [one.rule(candidate(**to_ada)) for _ in range(3)]
    assert [ruling.summary_id for ruling in ruled] == ["first", ruled[1].id, ruled[1].id]


def test_an_admins_address_as_the_contact_does_not_keep_the_admin_from_being_notified() -> None:
    """Nor does it let anyone send the admin more single mails."""
    one = rules()
    ruled = [one.rule(candidate(of_admin=True, address="ada@company.test")) for _ in range(4)]
    assert {ruling.audience for ruling in ruled} == {Audience.ADMIN}
    assert [ruling.state for ruling in ruled] == [PENDING, PENDING, PENDING, HELD]
    assert ruled[3].summary_id == ruled[2].id
