"""Who wrote a message, and whether a program or a list of others did."""

from __future__ import annotations

import pytest

from notifiers.inbound.reading import IncomingMail, read
from notifiers.message_ids import OwnMail
from tests.helpers.inbound_mail import OURS, SERVER, message, received

GROUP = "helpdesk@group.test"
FORM = "website@host.test"
OWN = OwnMail(frozenset({OURS}), "callout.test", frozenset({SERVER}), frozenset({GROUP}), frozenset({FORM}))
ANN = "Ann Lee <ann@bell.test>"


def writer(raw: bytes) -> tuple[str | None, str, str | None, bool]:
    found = read(raw, OWN)
    assert (found.automatic, found.unusable) == (None, None)
    return found.from_address, found.from_name, found.through, found.believed


# Web forms


@pytest.mark.parametrize(
    ("sender", "through"),
    [
        *((f"{name} <info@web.test>", "info@web.test") for name in ("Website", "Contact form", "Ann via Acme")),
        *((f"{local}@web.test", f"{local}@web.test") for local in ("noreply", "no-reply", "wordpress", "www-data")),
        *((f"{local}@web.test", f"{local}@web.test") for local in ("do_not_reply+x", "forms", "notifications")),
    ],
)
def test_a_web_form_is_written_by_its_reply_to(sender: str, through: str) -> None:
    assert writer(message(sender, reply_to=ANN)) == ("ann@bell.test", "Ann Lee", through, False)


def test_the_form_of_a_web_server_is_recognised_by_its_fields() -> None:
    raw = message("Acme <hello@web.test>", reply_to=ANN, x_php_originating_script="33:mail.php")
    assert writer(raw) == ("ann@bell.test", "Ann Lee", "hello@web.test", False)


def test_a_message_from_our_own_address_is_written_by_its_reply_to() -> None:
    assert writer(message(f"Website <{OURS}>", reply_to=ANN)) == ("ann@bell.test", "Ann Lee", OURS, True)
    assert writer(message(GROUP, reply_to=f"{OURS}, {ANN}")) == ("ann@bell.test", "Ann Lee", GROUP, True)


@pytest.mark.parametrize("reply_to", [None, "", OURS, f"Callout <{OURS.upper()}>", "nobody", f"{OURS}, {GROUP}"])
def test_a_message_from_our_own_address_that_names_nobody_else_is_our_own(reply_to: str | None) -> None:
    assert read(message(OURS, reply_to=reply_to), OWN).automatic == "Callout sent this message (From address)."


def test_our_own_mail_stays_our_own_whatever_names_another() -> None:
    """A mail server may have changed the Message-ID of what comes back, but not that it was sent automatically."""
    own_id = f"<{'a' * 32}.ticket.{'b' * 32}@callout.test>"
    for marks in ({"message_id": own_id}, {"auto_submitted": "auto-generated"}):
        assert read(message(OURS, reply_to=ANN, **marks), OWN).automatic is not None


def test_who_is_named_by_a_form_of_somebody_else_is_marked() -> None:
    named = {
        sender: read(message(sender, reply_to=ANN), OWN).named_by_stranger
        for sender in ("noreply@web.test", OURS, GROUP, FORM, FORM.upper(), ANN)
    }
    assert list(named.values()) == [True, False, False, False, False, False]
    assert writer(message(FORM.upper(), reply_to=ANN)) == ("ann@bell.test", "Ann Lee", FORM.upper(), True)
    assert writer(message(FORM)) == (FORM, "", None, True)


def test_two_people_in_reply_to_are_ambiguous() -> None:
    found = read(message(OURS, reply_to="ann@bell.test, bob@bell.test"), OWN)
    assert (found.from_address, found.unusable) == (None, "The Reply-To header must contain exactly one address.")
    assert writer(message("noreply@web.test", reply_to="ann@bell.test, bob@bell.test"))[0] == "noreply@web.test"


@pytest.mark.parametrize("sender", ["Bob <bob@acme.test>", "info@acme.test", "Bob Webster <bob@forms.test>"])
def test_a_person_who_wants_answers_elsewhere_is_still_the_writer(sender: str) -> None:
    """Otherwise a verified address would lend its standing to another one."""
    found = read(message(sender, reply_to=ANN), OWN)
    assert (found.through, (found.from_address or "?") in sender) == (None, True)


def test_nobody_vouches_for_the_reply_to() -> None:
    def verified(raw: bytes) -> tuple[bool | None, bool]:
        found = read(raw, OWN)
        return found.sender_verified, found.believed

    form, ours = message("noreply@bell.test", reply_to=ANN), message("support@callout.test", reply_to=ANN)
    assert verified(received(form, "pass")) == (False, False)
    assert verified(received(ours, "pass", "callout.test")) == (False, True)
    assert verified(received(ours, "none", "callout.test")) == (False, False)
    assert (verified(form), verified(ours)) == ((None, False), (None, True))
    assert read(received(ours, "fail", "callout.test"), OWN).unusable is not None


def test_the_same_id_by_a_form_does_not_block_the_writers_own_message() -> None:
    form = read(message("noreply@web.test", reply_to=ANN, message_id="<1@b.test>"), OWN)
    assert form.key != read(message(ANN, message_id="<1@b.test>"), OWN).key


# Lists

GOOGLE = {"precedence": "list", "x_google_group_id": "1"}


def of_list(**headers: str) -> IncomingMail:
    return read(message(ANN, **headers), OWN)


@pytest.mark.parametrize(
    "headers",
    [
        {**GOOGLE, "list_id": "<helpdesk.group.test>"},
        {**GOOGLE, "list_id": "Help <HELPDESK.group.test>", "list_unsubscribe": "<mailto:x+unsubscribe@group.test>"},
        {"list_id": "<support.callout.test>", "to": "somebody@bell.test"},
        {"list_post": f"<mailto:{OURS}>", "list_id": "<x.y.test>", "to": "somebody@bell.test"},
        {"mailing_list": f"list {GROUP}; contact x@group.test", "precedence": "list", "to": "x@bell.test"},
    ],
)
def test_a_message_by_a_list_of_ours_is_its_writers(headers: dict[str, str]) -> None:
    found = of_list(**headers)
    assert (found.automatic, found.from_address) == (None, "ann@bell.test")


@pytest.mark.parametrize(
    "headers",
    [
        {"list_id": "<news.bell.test>"},
        {"precedence": "list"},
        {**GOOGLE, "to": "all@group.test", "cc": OURS},
        {**GOOGLE, "list_id": "<support.group.test>"},
        {**GOOGLE, "list_id": "<all.group.test>"},
        {"list_id": "Support <support.elsewhere.test>"},
        {"list_id": "Support <support.elsewhere.test>", "precedence": "list"},
        {"list_id": "<x.y.test>", "list_post": f"<mailto:{OURS}>", "list_unsubscribe": "<https://y.test/off>"},
        {"list_id": "<x.y.test>", "mailing_list": f"list {OURS}", "list_unsubscribe": ""},
        {"list_id": "<support.elsewhere.test>", "to": "support@elsewhere.test", "cc": OURS},
        {"list_id": "<support.callout.test>", "precedence": "bulk"},
        {**GOOGLE, "list_id": "<support.callout.test>", "auto_submitted": "auto-replied"},
        {**GOOGLE, "list_id": "<support.callout.test>", "return_path": "<>"},
    ],
)
def test_lists_of_others_and_programs_stay_automatic(headers: dict[str, str]) -> None:
    assert of_list(**headers).automatic is not None


@pytest.mark.parametrize("field", ["reply_to", "x_original_from", "x_original_sender"])
def test_the_writer_is_found_where_a_list_has_rewritten_from(field: str) -> None:
    raw = message(f"\"'Ann Lee' via Support\" <{OURS}>", list_id="<support.callout.test>", **{field: ANN})
    assert writer(raw) == ("ann@bell.test", "Ann Lee", OURS, True)


# Automatic replies of Exchange


@pytest.mark.parametrize("subject", ["Automatic reply: x", "Réponse automatique : x", "Automatische Antwort: x"])
def test_an_automatic_reply_of_exchange_is_recognised_by_two_marks(subject: str) -> None:
    assert of_list(subject=subject, x_auto_response_suppress="All").automatic is not None
    assert of_list(subject=subject).automatic is None
    assert of_list(subject="Door", x_auto_response_suppress="All").automatic is None


# What is read of automatic and unusable messages


def test_the_text_of_what_is_ignored_or_kept_aside_is_read() -> None:
    for raw in (message(ANN, auto_submitted="auto-replied"), message("nobody"), received(message(ANN), "fail")):
        assert read(raw, OWN).text == "The panel beeps."


def test_the_recipients_are_known_without_us() -> None:
    found = of_list(to=f"Callout <{OURS.upper()}>, Bob <BOB@acme.test>", cc="eve@acme.test, bob@acme.test")
    assert found.recipients == ("bob@acme.test", "eve@acme.test")
