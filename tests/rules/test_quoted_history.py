"""What of a reply is folded: the history that it quotes and the signature, and nothing that its author wrote."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from notifiers.inbound.held import Held
from notifiers.inbound.history import Divided, divided
from notifiers.inbound.languages import LANGUAGES
from notifiers.inbound.subjects import is_reply

OURS = "support@callout.test"
ASKED = "Which zone beeps?\nWhen may our technician come?"
OWN = "Zone 4, the back door.\n\nGate code 4417."

MAIL_PROGRAMS = tomllib.loads((Path(__file__).parents[1] / "helpers" / "mail_programs.toml").read_text("utf-8"))
ATTRIBUTIONS: dict[str, str] = MAIL_PROGRAMS["attributions"]


def held(*texts: str, answers_us: bool = False, only_marks: bool = True) -> Held:
    return Held(texts, ["TKT-A2B3C4", "Ann Bell"], frozenset({OURS}), answers_us=answers_us, only_marks=only_marks)


def marked(text: str, by: str = "> ") -> str:
    return "\n".join(f"{by}{line}" for line in text.split("\n"))


def read(text: str, *texts: str, answers_us: bool = False, only_marks: bool = True) -> Divided:
    return divided(text, "Ann Bell <ann@bell.test>", held(*texts, answers_us=answers_us, only_marks=only_marks))


@pytest.mark.parametrize("above", ATTRIBUTIONS.values(), ids=ATTRIBUTIONS.keys())
def test_the_history_is_folded_in_every_language(above: str) -> None:
    """With marks, and without, as web mail and phones write it."""
    for quoted in (f"{above}\n{marked(ASKED)}", f"{above}\n\n{marked(ASKED)}", f"{above}\n\n{ASKED}"):
        found = read(f"{OWN}\n\n{quoted}", ASKED)
        assert (found.text, found.quoted) == (OWN, quoted)


@pytest.mark.parametrize("language", [name for name in LANGUAGES if "from" in LANGUAGES[name]])
def test_header_lines_begin_a_history_in_every_language(language: str) -> None:
    words = LANGUAGES[language]
    values = {"from": f"Callout <{OURS}>", "sent": "Monday 23", "to": "Ann Bell", "subject": "Panel"}
    for each in range(3):
        lines = [(words[kind][min(each, len(words[kind]) - 1)].capitalize(), values[kind]) for kind in values]
        for form in ("{}: {}", "*{}:* {}", "{} : {}", "{}\uff1a{}"):
            block = "\n".join(form.format(*line) for line in lines)
            for rule in ("", "________________________________\n", "-----X y-----\n"):
                quoted = f"{rule}{block}\n\n{ASKED}"
                assert read(f"{OWN}\n\n{quoted}", ASKED) == Divided(OWN, quoted)


@pytest.mark.parametrize("language", [name for name in LANGUAGES if "forward" in LANGUAGES[name]])
def test_a_forward_is_no_reply_in_any_language(language: str) -> None:
    for word in LANGUAGES[language]["forward"]:
        for prefix in (word, word.capitalize(), word.upper()):
            assert not is_reply(f"{prefix}: siren", in_thread=True), prefix
            assert not is_reply(f"[EXT] {prefix}\uff1aRe: siren", in_thread=True), prefix


@pytest.mark.parametrize("prefix", ["VB", "I", "PD", "VL", "Přep", "转发", "İLT", "W", "Fwd", "XY"])
def test_unknown_short_prefixes_are_taken_for_forwards(prefix: str) -> None:
    assert not is_reply(f"{prefix}: siren", in_thread=True)


@pytest.mark.parametrize("language", [name for name in LANGUAGES if "reply" in LANGUAGES[name]])
def test_a_reply_is_recognised_in_every_language(language: str) -> None:
    for word in LANGUAGES[language]["reply"]:
        assert is_reply(f"{word.upper()}: Siren", in_thread=False)
    assert is_reply("Siren: it beeps", in_thread=True)
    assert not is_reply("Siren: it beeps", in_thread=False)


# Whose history it is


BOB = (
    "Ann, the DSC 1832 in unit 12 shows trouble 5 since the storm,\npanel serial 99-1234, and the siren does not stop."
)


def test_what_we_do_not_hold_stays_in_the_text() -> None:
    """As when support is copied into a running thread."""
    for quoted in (
        f"On Mon, Nov 23, 2026 at 9:12 AM Bob Roy <bob@bell.test> wrote:\n\n{marked(BOB)}",
        f"From: Bob Roy <bob@bell.test>\nSent: Monday\nTo: Ann\nSubject: siren\n\n{BOB}",
        f"-----Original Message-----\nFrom: Bob Roy\nSent: Monday\n\n{BOB}",
        marked(BOB),
    ):
        text = f"Can you have a look at this please?\n\nAnn\n\n{quoted}"
        assert read(text, ASKED) == Divided(text, "")
        assert read(text, ASKED, BOB).quoted == quoted


def test_of_a_thread_only_what_we_hold_is_folded() -> None:
    older = f"> On Sun, Nov 22, 2026 Callout <{OURS}> wrote:\n>\n{marked(ASKED, '>> ')}"
    newer = f"On Mon, Nov 23, 2026 at 9:12 AM Bob Roy <bob@bell.test> wrote:\n\n{marked('Zone 4, I think.')}"
    assert read(f"Bob is right.\n\n{newer}\n{older}", ASKED) == Divided(f"Bob is right.\n\n{newer}", older)
    header = "From: {}\nSent: Monday\nTo: Ann\nSubject: siren\n\n"
    newer, older = header.format("Bob Roy") + "Zone 4, I think.", header.format("Callout") + ASKED
    assert read(f"Bob is right.\n\n{newer}\n\n{older}", ASKED) == Divided(f"Bob is right.\n\n{newer}", older)
    text = f"Bob is right.\n\n{older}\n\n{newer}"  # what is not ours is last
    assert read(text, ASKED) == Divided(text, "")


def test_a_mail_of_ours_is_recognised_by_its_address_or_by_the_message_that_is_answered() -> None:
    """If every line of it is marked: otherwise its reader may have written between the lines."""
    named = f"On Mon, Nov 23, 2026 Callout <{OURS}> wrote:\n\n{marked(ASKED)}"
    assert read(f"{OWN}\n\n{named}") == Divided(OWN, named)
    short = f"W dniu 23.11.2026 o 10:15, Support pisze:\n{marked(ASKED)}"  # the name of our mailbox, and no address
    assert read(f"{OWN}\n\n{short}") == Divided(OWN, short)
    assert read(f"{OWN}\n\n{short.replace('Support', 'Bob')}").quoted == ""
    unnamed = f"On Mon, Nov 23, 2026 the company wrote:\n\n{marked(ASKED)}"
    assert read(f"{OWN}\n\n{unnamed}", answers_us=True) == Divided(OWN, unnamed)
    for text in (f"{OWN}\n\n{unnamed}", f"{OWN}\n\n{named.replace('> ', '')}"):
        assert read(text) == Divided(text, "")
    assert read(f"{OWN}\n\n{named}", only_marks=False, answers_us=True).quoted == ""  # an answer may stand there in red
    nested = f"{named}\n> On Sunday, Nov 22, 2026 Bob <bob@bell.test> wrote:\n{marked(BOB, '>> ')}"
    assert read(f"{OWN}\n\n{nested}") == Divided(OWN, nested)  # we have quoted that ourselves


def test_the_layout_of_the_history_does_not_matter() -> None:
    said = "Your “alarm panel” isn\u2019t answering \u2013 please\u00a0call us, or see https://callout.test for more."
    wrapped = 'Your "alarm panel" isn\'t\n> answering - please call us, or see\n> for more.'
    quoted = f"On Mon, Nov 23, 2026 at 9:12 AM Bob Roy <bob@bell.test> wrote:\n> {wrapped}"
    assert read(f"Yes.\n\n{quoted}", said) == Divided("Yes.", quoted)


def test_our_mails_are_recognised_in_every_form() -> None:
    """By the phrases of their templates, and the names and times in them."""
    mail = (
        "Hello Ann Bell,\n\nThere is a new message about your ticket “Panel” (TKT-A2B3C4).\n\n"
        f"Ann Bell, 24 November 2026, 19:30 UTC:\n\n{ASKED}\n\nView your ticket<https://callout.test/t>\n\n--\n"
        "You are receiving this because this is your ticket.\nTo add something, reply to this e-mail."
    )
    quoted = f"From: Callout <{OURS}>\nSent: Monday\nTo: Ann\nSubject: Panel\n\n{mail}"
    assert read(f"{OWN}\n\n{quoted}", ASKED, "Panel").quoted == ""  # the subject is a word by itself
    ours = Held([ASKED], ["TKT-A2B3C4", "Ann Bell", "Panel"], frozenset({OURS}), answers_us=False, only_marks=False)
    assert divided(f"{OWN}\n\n{quoted}", "", ours) == Divided(OWN, quoted)
    for answer in ("Thursday", "4", "Yes, Ann", "code 4417"):
        for place in (ASKED.split("\n")[0], "Hello Ann Bell,", "this is your ticket."):
            text = f"See below.\n\n{quoted.replace(place, f'{place}{chr(10)}{answer}')}"
            assert divided(text, "", ours) == Divided(text, ""), (answer, place)


# Between the lines


HEADER = f"From: Support <{OURS}>\nSent: Monday, November 23, 2026 9:12 AM\nTo: Ann Bell\nSubject: Panel\n\n"


@pytest.mark.parametrize(
    "quoted",
    [
        HEADER + "Which zone beeps?\nANN: zone 4, the back door\n\nWhen may our technician come?\nANN: Thursday",
        HEADER + "Which zone beeps?\nzone 4\nWhen may our technician come?",
        HEADER + "Which zone beeps?\nzone\nWhen may our technician come?",  # words that we hold, but not there
        HEADER + "Which zone beeps? 4\nWhen may our technician come?",
        HEADER + "Which zone beeps?\nWhen may our technician come?\n4",
        f"On Mon, Nov 23, 2026 Support <{OURS}> wrote:\n\nWhich zone beeps?\n4\n\nWhen may our technician come?\nnow",
    ],
)
def test_answers_inside_a_quote_are_kept(quoted: str) -> None:
    text = f"Please see my answers below.\n\n{quoted}"
    assert read(text, ASKED) == Divided(text, "")


def test_answers_between_marked_lines_are_kept_with_what_they_answer() -> None:
    above = f"On Mon, Nov 23, 2026 at 9:12 AM Callout <{OURS}> wrote:\n\n"
    answered = f"{above}> Which zone beeps?\n\nzone 4\n\n> When may our technician come?\n\nThursday"
    assert read(answered, ASKED) == Divided(answered, "")
    assert read(f"{answered}\n\n> Regards", ASKED, "Regards") == Divided(answered, "> Regards")
    chosen = "> Which zone beeps?\n\nzone 4"  # cut out by hand, to answer it
    assert read(chosen, ASKED) == Divided(chosen, "")
    below = f"{above}{marked(ASKED)}"
    assert read(f"{below}\n\nzone 4, Thursday", ASKED) == Divided("zone 4, Thursday", below)


def test_a_forward_inside_a_reply_is_kept() -> None:
    header = "From: Callout\nSent: Monday\nTo: Ann\nSubject: Panel\n\n"
    for line in ("---------- Forwarded message ---------", "Begin forwarded message:", "-------- 转发邮件 --------"):
        text = f"For you.\n\n{line}\n{header}{ASKED}"
        assert read(text, ASKED) == Divided(text, "")


def test_text_before_an_attribution_on_its_line_is_kept() -> None:
    for own in ("Yes, please.", "Yes - please"):
        text = f"Hello.\n{own} On Mon, Nov 23, 2026 at 9:12 AM, Callout <{OURS}> wrote:\n{marked(ASKED)}"
        assert own in read(text, ASKED).text


# Signatures and what looks like one


@pytest.mark.parametrize(
    "text",
    [
        "Faults today:\n--\nzone 4 open\nzone 5 tamper\n--\nPlease call before you come.",
        "Faults today:\n-- \nzone 4 open\nzone 5 tamper\n-- \nPlease call before you come.",
        "Faults today:\n--\nzone 4 open\nzone 5 tamper",
        "Faults today:\n---\nzone 4 open",
        "My phone is dead.\nSent from my neighbour's phone, mine is broken.\nSiren does not stop, gate code 4417.",
        "My phone is dead.\nSent from my neighbour's iPhone, mine is broken.",
        "My phone is dead.\nSent from my iPhone. Siren does not stop.",
        "It was\nsent from my iPhone\nyesterday, to your old address.",
        "My phone is dead.\nSent from the gatehouse.",
        "Done.\nGet Outlook for free, they say, and it works",
    ],
)
def test_dividers_and_sentences_are_text(text: str) -> None:
    assert read(text) == Divided(text, "")


@pytest.mark.parametrize("signature", MAIL_PROGRAMS["signatures"]["all"])
def test_a_signature_is_folded_with_the_history(signature: str) -> None:
    history = f"On Mon, Nov 23, 2026 at 9:12 AM Callout <{OURS}> wrote:\n\n{marked(ASKED)}"
    assert read(f"{OWN}\n\n{signature}") == Divided(OWN, signature)
    assert read(f"{OWN}\n\n{signature}\n\n{history}", ASKED).text == OWN
    assert read(f"{OWN}\n\n{history}\n\n{signature}", ASKED) == Divided(OWN, f"{history}\n\n{signature}")


def test_both_parts_have_every_line() -> None:
    for above in ATTRIBUTIONS.values():
        text = f"{OWN}\n-- \nAnn\n\n{above}\n{marked(ASKED)}\n\nBelow.\n\n> more\nend"
        found = read(text, ASKED)
        lines = [line for part in (found.text, found.quoted) for line in part.split("\n") if line.strip()]
        assert sorted(lines) == sorted(line for line in text.split("\n") if line.strip())


def test_endless_texts_are_read_in_bounded_time() -> None:
    """Beyond a number of lines, nothing is recognised any more, and so nothing is folded."""
    quoted = f"On Mon, Nov 23, 2026 at 9:12 AM Callout <{OURS}> wrote:\n\n"
    near, far = "\n".join(["x"] * 4_990), "\n".join(["x"] * 5_001)
    assert read(f"{near}\n\n{quoted}{ASKED}", ASKED) == Divided(near, quoted + ASKED)
    assert read(f"{far}\n\n{quoted}{ASKED}", ASKED).quoted == ""
    many = quoted + "\n".join([ASKED] * 1_001)  # more lines than are compared
    assert read(f"Yes.\n\n{many}", ASKED) == Divided(f"Yes.\n\n{many}", "")
