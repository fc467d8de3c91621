"""The rules of what may be sent, as plain functions on plain values: which addresses must be confirmed first, the
limits on mail that outsiders cause, and when a summary replaces single mails.

They concern mail to a ticket's contact, because outsiders choose that address and some of the text, and mail about new
tickets to admins and about answers to staff, because outsiders choose how many there are. `notifiers/screening.py`
reads the values and stores the rulings.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from db.enums import Audience, DeliveryChannel, DeliveryState, NoticeKind
from notifiers.contacts import CONFIRMABLE

SUMMARY_MAX: Final = 1_000
"""Tickets in one summary; further ones go into another."""
RETRY: Final = timedelta(hours=1)
"""When a delivery that waits for room under a limit is looked at again."""
MAIL_IN: Final = "mail-in"
"""The caller who causes the mail that answers inbound mail. All senders are one, because their addresses may be
forged."""

WAITS: Final = "Waits until the recipient confirms the address."
UNCONFIRMED: Final = "Nobody confirmed the address in time."
OVERASKED: Final = "Not sent: this address was asked too often today to confirm requests that it may not have made."
WAITS_FOR_ADDRESS: Final = "Waits: this address was asked often enough today to confirm requests."
WAITS_FOR_DOMAIN: Final = "Waits: too many addresses of this domain were asked today to confirm requests."
WAITS_FOR_CALLER: Final = "Waits: whoever created the ticket has named too many unconfirmed addresses."
TOO_LATE: Final = "Not sent: it waited too long for room under a limit."
OVERFULL: Final = "Not sent: this address has had enough mails about new tickets today."
ANSWERED_OFTEN: Final = "Not sent: the recipient was notified of enough answers to this ticket within an hour."
ANSWERS_EVERYWHERE: Final = "Not sent: the recipient was notified of enough answers by this customer within an hour."
SUMMARY: Final = "Waits for the tickets that are created in the meantime, to go out as a summary."
IN_SUMMARY: Final = "Waits for the summary of new tickets, because many were created within a short time."


@dataclass(frozen=True, slots=True)
class Limits:
    """How much mail outsiders may cause. `confirmations_per_address` and `confirmations_per_customer`, the customer who
    has typed the addresses, are for 24 hours, as are `receipts_per_address` and `addresses_per_domain`, the different
    mailboxes of one domain that are asked; `confirmations_per_service`, an API key or all inbound mail, is for an hour.
    A recipient is notified of `answers_per_ticket` answers in an hour, and of `answers_per_customer`. After
    `summary_after` notifications of new tickets within `summary_time`, an admin and the space get a summary."""

    confirmations_per_address: int = 5
    confirmations_per_customer: int = 20
    confirmations_per_service: int = 3_600
    addresses_per_domain: int = 200
    receipts_per_address: int = 20
    answers_per_ticket: int = 20
    answers_per_customer: int = 60
    summary_after: int = 30
    summary_time: timedelta = timedelta(minutes=10)

    def of_caller(self, caller: str) -> int:
        return self.confirmations_per_customer if is_customer(caller) else self.confirmations_per_service


def caller_of(creator_kind: str, creator_id: str, source: str) -> str:
    """Who has caused the mail about a ticket, as the limits count it."""
    return MAIL_IN if creator_kind == "CUSTOMER" and source == "EMAIL" else f"{creator_kind}:{creator_id}"


def is_customer(caller: str) -> bool:
    return caller.startswith("CUSTOMER:")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A delivery that has not passed the limits yet.

    `address` is the recipient's, in lower case, `mailbox` its digest, and `domain` that of its domain. `scope` is what
    a confirmation of the address counts for: the ticket, or the customer who typed it. `asked_until` is when the
    confirmation expires that was asked for before. `ticket_id` and `customer_id` are the ticket's. `by_staff` says
    whether staff created the ticket, `authenticated` whether a customer did with a token, `own` whether the address is
    the ticket's customer's, `of_admin` whether it is an admin recipient's.
    """

    id: str
    kind: NoticeKind
    channel: DeliveryChannel
    audience: Audience
    address: str
    mailbox: bytes
    domain: bytes
    queued_at: datetime
    ticket_id: str
    customer_id: str | None
    scope: str
    caller: str
    by_staff: bool
    authenticated: bool
    own: bool
    confirmed: bool
    of_admin: bool
    asked_until: datetime | None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What becomes of a delivery. It passes unless it is held or dropped, or waits to be looked at again. `due_at` is
    None if it stays. `asks` says that the recipient has to be asked to confirm the address."""

    id: str
    audience: Audience
    state: DeliveryState = DeliveryState.PENDING
    said: str | None = None
    due_at: datetime | None = None
    screened: bool = True
    summary_id: str | None = None
    asks: bool = False


@dataclass(slots=True)
class Summary:
    """A summary that is not due yet: its delivery, and how many tickets it has."""

    id: str
    due_at: datetime
    tickets: int = 1


@dataclass(slots=True)
class Usage:
    """What counts against the limits: the confirmations asked for of each mailbox and by each caller, the mailboxes
    that were asked at each domain, the receipts and the single mails to each address, the notifications of answers to
    each address by ticket and by customer, and the open summaries by address."""

    asked_of: Counter[bytes] = field(default_factory=Counter)
    asked_by: Counter[str] = field(default_factory=Counter)
    asked_at: Counter[bytes] = field(default_factory=Counter)
    receipts: Counter[str] = field(default_factory=Counter)
    singles: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    summaries: dict[str, Summary] = field(default_factory=dict)


class Rules:
    """Rules on deliveries one after the other, and counts them. `give_up` is how long one may wait for room."""

    def __init__(self, limits: Limits, usage: Usage, now: datetime, give_up: timedelta) -> None:
        self._limits = limits
        self._usage = usage
        self._now = now
        self._give_up = give_up
        self._asked: dict[tuple[str, str], datetime] = {}

    def rule(self, it: Candidate) -> Ruling:
        if it.kind is NoticeKind.CUSTOMER_ANSWERED:
            return self._of_answer(it)
        if it.kind is NoticeKind.CREATED and it.audience in (Audience.ADMIN, Audience.SPACE):
            return self._of_many(it, it.audience)
        if it.channel is not DeliveryChannel.EMAIL:
            return Ruling(it.id, it.audience)
        if it.audience is not Audience.CUSTOMER or it.by_staff:
            return Ruling(it.id, it.audience)
        if it.own or it.confirmed:
            return self._to_contact(it)
        if it.of_admin:  # it knows the ticket anyway, and a contact's address must not keep it from being notified
            is_new = it.kind is NoticeKind.CREATED
            return self._of_many(it, Audience.ADMIN) if is_new else Ruling(it.id, it.audience)
        return self._unconfirmed(it)

    def _of_answer(self, it: Candidate) -> Ruling:
        """Whoever is notified has been often enough already: they know where to look."""
        for of, limit, said in (
            (it.ticket_id, self._limits.answers_per_ticket, ANSWERED_OFTEN),
            (it.customer_id, self._limits.answers_per_customer, ANSWERS_EVERYWHERE),
        ):
            if of is not None and self._usage.answers[it.address, of] >= limit:
                return Ruling(it.id, it.audience, DeliveryState.DROPPED, said)
        for of in filter(None, (it.ticket_id, it.customer_id)):
            self._usage.answers[it.address, of] += 1
        return Ruling(it.id, it.audience)

    def _to_contact(self, it: Candidate) -> Ruling:
        """Only mail about a new ticket has an outsider's text that no member of staff has seen."""
        if it.kind is not NoticeKind.CREATED or (it.own and it.authenticated):
            return Ruling(it.id, it.audience)
        if self._usage.receipts[it.address] >= self._limits.receipts_per_address:
            return Ruling(it.id, it.audience, DeliveryState.DROPPED, OVERFULL)
        self._usage.receipts[it.address] += 1
        return Ruling(it.id, it.audience)

    def _unconfirmed(self, it: Candidate) -> Ruling:
        until = it.asked_until or self._asked.get((it.scope, it.address))
        if until is not None:
            return Ruling(it.id, it.audience, DeliveryState.HELD, WAITS, until)
        if self._usage.asked_of[it.mailbox] >= self._limits.confirmations_per_address:
            # Staff have written the other kinds: they wait for the next day, while a receipt would be one mail more.
            if it.kind is NoticeKind.CREATED:
                return Ruling(it.id, it.audience, DeliveryState.DROPPED, OVERASKED)
            return self._wait(it, WAITS_FOR_ADDRESS)
        another = not self._usage.asked_of[it.mailbox]  # of its domain
        if another and self._usage.asked_at[it.domain] >= self._limits.addresses_per_domain:
            return self._wait(it, WAITS_FOR_DOMAIN)
        if self._usage.asked_by[it.caller] >= self._limits.of_caller(it.caller):
            return self._wait(it, WAITS_FOR_CALLER)
        self._usage.asked_of[it.mailbox] += 1
        self._usage.asked_by[it.caller] += 1
        self._usage.asked_at[it.domain] += another
        until = self._asked[it.scope, it.address] = self._now + CONFIRMABLE
        return Ruling(it.id, it.audience, DeliveryState.HELD, WAITS, until, asks=True)

    def _wait(self, it: Candidate, said: str) -> Ruling:
        if it.queued_at + self._give_up <= self._now:
            return Ruling(it.id, it.audience, DeliveryState.DROPPED, TOO_LATE)
        return Ruling(it.id, it.audience, said=said, due_at=self._now + RETRY, screened=False)

    def _of_many(self, it: Candidate, audience: Audience) -> Ruling:
        if self._usage.singles[it.address] < self._limits.summary_after:
            self._usage.singles[it.address] += 1
            return Ruling(it.id, audience)
        summary = self._usage.summaries.get(it.address)
        if summary is None or summary.tickets >= SUMMARY_MAX:
            summary = Summary(it.id, self._now + self._limits.summary_time)
            self._usage.summaries[it.address] = summary
            return Ruling(it.id, audience, said=SUMMARY, due_at=summary.due_at, summary_id=it.id)
        summary.tickets += 1
        return Ruling(it.id, audience, DeliveryState.HELD, IN_SUMMARY, summary_id=summary.id)
