"""Reading an inbound message, rule by rule; `tests/mail/test_inbound.py` tests its outcome."""

from __future__ import annotations

import base64
from itertools import pairwise

import pytest

from db import limits
from notifiers import message_ids
from notifiers.inbound import mail_text
from notifiers.inbound import parts as mail_parts
from notifiers.inbound import reading as inbound
from notifiers.inbound.charsets import decoded
from notifiers.inbound.history import divided
from notifiers.inbound.mail_text import html_to_text, without_data
from notifiers.inbound.reading import IncomingMail, read
from notifiers.message_ids import OwnMail
from notifiers.text import one_line, shortened, tidy
from tests.helpers.inbound_mail import OURS, message

OWN = OwnMail(frozenset({OURS, "answers@callout.test"}), "callout.test")
TICKET = "019ab5a2-6c00-7000-8000-0000000000a2"
DELIVERY = "019ab5a2-6c00-7000-8000-0000000000d1"


def mail(body: str | bytes = "The panel beeps.", /, sender: str = "Ann Bell <ann@bell.test>", **headers: str) -> bytes:
    return message(sender, body, **headers)


def taken(raw: bytes) -> IncomingMail:
    """Returns the message as read, after checking that it is neither automatic nor unusable."""
    found = read(raw, OWN)
    assert (found.automatic, found.unusable) == (None, None)
    return found


def unusable(raw: bytes) -> str:
    found = read(raw, OWN)
    assert found.unusable is not None
    return found.unusable


# Automatic mail: each marker is enough


@pytest.mark.parametrize(
    ("header", "value", "why"),
    [
        *(
            ("auto_submitted", value, "Auto-Submitted")
            for value in ("auto-generated", "auto-replied", "auto-notified", "Auto-Replied; x=y", "auto-replied(away)")
        ),
        ("auto_submitted", "yes", "Auto-Submitted"),  # all but "no"
        *(("precedence", value, "Precedence") for value in ("bulk", "junk", "list", "auto_reply", "BULK", " list ")),
        *(("list_id", value, "List-Id") for value in ("<news.bell.test>", "")),
        *(
            ("x_auto_response_suppress", value, "X-Auto-Response-Suppress")
            for value in ("All", "OOF", "AutoReply", "DR, oof", "RN,autoreply,NRN", "ALL")
        ),
        *(("x_autoreply", value, "X-Autoreply") for value in ("yes", "")),
        *(("x_autorespond", value, "X-Autoreply") for value in ("yes", "")),
        ("content_type", "multipart/report; boundary=b", "multipart/report"),
        ("content_type", "Multipart/Report; report-type=disposition-notification; boundary=b", "multipart/report"),
        *(("return_path", value, "empty Return-Path") for value in ("<>", "", " <> ", "<MAILER-DAEMON@relay.test>")),
        ("sender", "mailer-daemon@bell.test", "MAILER-DAEMON"),
        ("sender", "Mail <Mailer-Daemon@bell.test>", "MAILER-DAEMON"),
        *(("sender", f"Callout <{address}>", "From address") for address in (OURS, "Answers@Callout.Test")),
        (
            "message_id",
            message_ids.of_delivery(DELIVERY, TICKET, "callout.test"),
            "Callout sent this message (Message-ID)",
        ),
        ("message_id", message_ids.of_ticket(TICKET, "CALLOUT.test"), "Callout sent this message (Message-ID)"),
    ],
)
def test_each_mark_of_automatic_mail_is_recognised(header: str, value: str, why: str) -> None:
    found = read(mail(**{header: value}), OWN)
    assert why in (found.automatic or "")
    assert (found.text, found.files) == ("", ())


@pytest.mark.parametrize(
    ("header", "value"),
    [
        *(
            ("auto_submitted", value)
            for value in ("no", "NO", " no ", "no; x=y", "no (it was me)", "no(it was me)", "")
        ),
        *(("precedence", value) for value in ("first-class", "special-delivery", "bulky", "")),
        *(("x_auto_response_suppress", value) for value in ("DR", "NDR, RN, NRN", "None", "")),
        *(("content_type", value) for value in ("multipart/mixed; boundary=b", "text/plain; x=multipart/report")),
        *(("return_path", value) for value in ("<ann@bell.test>", "<daemon@bell.test>", "<x+mailer-daemon@bell.test>")),
        *(("sender", value) for value in ("x@mailer-daemon.test", "mailer-daemons@bell.test", f"x{OURS}")),
        *(("message_id", value) for value in ("<a@callout.test>", message_ids.of_ticket(TICKET, "elsewhere.test"))),
        *(("list_post", value) for value in ("<mailto:news@bell.test>",)),
    ],
)
def test_similar_headers_do_not_mark_automatic_mail(header: str, value: str) -> None:
    taken(mail(**{header: value}))


def test_marks_are_found_in_repeated_headers() -> None:
    twice = b"X-Auto-Response-Suppress: DR\r\nX-Auto-Response-Suppress: OOF\r\n"
    assert "Suppress" in (read(twice + mail(), OWN).automatic or "")
    assert "Return-Path" in (read(b"Return-Path: <ann@bell.test>\r\nReturn-Path: <>\r\n" + mail(), OWN).automatic or "")
    # For other headers only the first copy counts.
    taken(b"Auto-Submitted: no\r\nAuto-Submitted: auto-replied\r\n" + mail())


def test_a_message_without_a_sender_is_automatic_or_unusable() -> None:
    assert read(mail(sender="", auto_submitted="auto-replied"), OWN).unusable is None
    assert unusable(message("x", from_=None)) == "The From header must contain exactly one address."
    assert unusable(b"To: us\r\n\r\nx") == "The From header is missing."
    assert unusable(b"From: a@bell.test\r\n" + mail()) == "There are several From headers."


# Replies


def only_new(text: str) -> str:
    """Returns what the author of a reply wrote, if all that they quote is ours."""
    return divided(text, "Ann Bell <ann@bell.test>").text


QUOTING = "Tuesday suits us.\n\nOn Mon, 23 Nov 2026 at 10:15, Callout <support@callout.test> wrote:\n\n> Does it?\n"


@pytest.mark.parametrize("prefix", ["Re", "AW", "sv", "Antw", "RIF", "odp", "Ref", "RE[2]", "re [12] ", " Re", "aw "])
def test_quotes_are_cut_after_each_reply_prefix(prefix: str) -> None:
    assert taken(mail(QUOTING, subject=f"{prefix}: Beeping panel")).text == "Tuesday suits us."


@pytest.mark.parametrize("prefix", ["Fw", "FWD", "wg", "TR", "rv", "Enc", "vs", "Doorst", "fwd "])
def test_a_forwarded_message_keeps_its_quotes(prefix: str) -> None:
    found = taken(mail(QUOTING, subject=f"{prefix}: Re: Beeping panel", in_reply_to="<a@bell.test>"))
    assert found.text == QUOTING.strip()


@pytest.mark.parametrize("subject", ["Reading the panel: it beeps", "Real: x", "Beeping Re: x", "Re Beeping"])
def test_a_new_message_keeps_its_quotes(subject: str) -> None:
    assert taken(mail(QUOTING, subject=subject)).text == QUOTING.strip()


@pytest.mark.parametrize("header", ["in_reply_to", "references"])
def test_a_message_in_a_thread_is_a_reply(header: str) -> None:
    assert taken(mail(QUOTING, **{header: "<a@bell.test>"})).text == "Tuesday suits us."


@pytest.mark.parametrize(
    "signature",
    [
        *("-- ", "--", "Sent from my iPhone", "Sent from Outlook for Android", "Get Outlook for iOS"),
        *("Envoyé de mon iPhone", "Von meinem iPhone gesendet", "Von meinem Galaxy S9 gesendet."),
    ],
)
def test_each_form_of_signature_is_cut_from_a_reply(signature: str) -> None:
    assert only_new(f"Yes.\n{signature}\nAnn Bell") == "Yes."
    assert only_new(f"{signature}\nAnn") == f"{signature}\nAnn"  # a text that begins with one is kept whole


@pytest.mark.parametrize(
    "line",
    ["---", "-- x", "Resent from my iPhone", "Sent from mystery", "Von meinem gesendet", "Sent from my " + "x" * 81],
)
def test_lines_similar_to_a_signature_are_kept(line: str) -> None:
    assert only_new(f"Yes.\n{line}\nAnn Bell") == f"Yes.\n{line}\nAnn Bell"


@pytest.mark.parametrize(
    "quoted",
    [
        "On Mon, 23 Nov 2026 at 10:15, Callout <support@callout.test> wrote:\n> We come.",
        "Am 23.11.2026 um 10:15 schrieb Callout <support@callout.test>:\n> We come.",
        "Le lun. 23 nov. 2026 à 10:15, Callout <support@callout.test> a écrit :\n> We come.",
        "> We come.\n> Does that suit you?\n> Or not?",
        "-----Original Message-----\nFrom: Callout\nSent: Monday\nTo: Ann\nSubject: Panel\n\nWe come.",
    ],
)
def test_the_text_above_a_quote_is_kept(quoted: str) -> None:
    assert only_new(f"First.\n\nSecond.\n\n{quoted}") == "First.\n\nSecond."


def test_the_text_below_a_signature_is_kept() -> None:
    """Some phones put the signature on top."""
    quoted = "On Mon, 23 Nov 2026 at 10:15, Callout <support@callout.test> wrote:\n> We come.\n> Does it suit?"
    text = "Sent from my iPhone\n\nYes."
    assert only_new(f"{text}\n\n{quoted}\n\nThanks.") == f"{text}\n\nThanks."
    assert only_new(f"Yes.\n\n{quoted}\n\n{text}") == f"Yes.\n\n{text}"


def test_the_text_around_a_quote_is_kept_to_the_last_line() -> None:
    below = "\n".join(f"Line {n} {'x' * 300}" for n in range(400))
    quoted = "On Mon, 23 Nov 2026 at 10:15, Callout <support@callout.test> wrote:\n\n> We come.\n> Does it suit?"
    above = "Above " + "y" * 300
    assert only_new(f"\n\n{above}\n\n{quoted}\n\n{below}") == f"{above}\n\n{below}"
    blank = "\n".join("" if 290 < n < 310 else f"Line {n}" for n in range(400))
    assert only_new(f"{above}\n\n{quoted}\n{blank}") == f"{above}\n\n{blank}"
    assert only_new(quoted) == quoted  # rather than an empty text
    assert only_new(f"{below}\n{quoted}") == below


def test_references_are_ordered_nearest_first_without_duplicates() -> None:
    found = taken(mail(in_reply_to="<c@b.test> and <d@b.test>", references="<a@b.test> <b@b.test>\r\n <c@b.test>"))
    assert found.references == ("<c@b.test>", "<d@b.test>", "<b@b.test>", "<a@b.test>")
    many = [f"<{n}@b.test>" for n in range(100)]
    assert taken(mail(references=" ".join(many))).references == tuple(reversed(many[50:]))
    endless = "<a@b.test> " * 3_000 + "<last@b.test>"  # only the end of an overlong header is read
    assert taken(mail(references=endless)).references == ("<last@b.test>", "<a@b.test>")


@pytest.mark.parametrize(
    ("inside", "known"),
    [("", 0), ("ab", 0), ("abc", 1), ("x" * 498, 1), ("x" * 499, 0), ("a b", 0), ("a<b", 0), ("é12", 0)],
)
def test_a_message_id_is_visible_ascii_of_bounded_length(inside: str, known: int) -> None:
    found = taken(mail(message_id=f"<{inside}>", references=f"<{inside}>"))
    assert found.message_id == (f"<{inside}>" if known else None)
    assert len(found.references) == known
    assert known == 0 or len(f"<{inside}>") <= limits.MESSAGE_ID_MAX


def test_references_in_the_subject_are_case_insensitive_and_unique() -> None:
    assert taken(mail(subject="[TKT-A2B3C4] tkt-zzzzzz TKT-A2B3C4")).tickets == ("TKT-A2B3C4", "TKT-ZZZZZZ")
    for none in ("TKT-A2B3C", "TKT-A2B3C45", "TKT-A2B3C0", "TKT-A2B3C1", "TKT-IIIIII", "XTKT-A2B3C4", "TKT A2B3C4"):
        assert taken(mail(subject=none)).tickets == ()


# Identity of a message

DATED = {"date": "Mon, 23 Nov 2026 10:00:00 +0000", "in_reply_to": "<a@b.test>", "references": "<a@b.test>"}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        *(("to", "other@callout.test"), ("date", "Mon, 23 Nov 2026 10:00:01 +0000"), ("subject", "Panel")),
        *(("in_reply_to", "<b@b.test>"), ("references", "<b@b.test>"), ("content_type", "text/plain; charset=utf-8")),
        ("sender", "Ann B. <ann@bell.test>"),
    ],
)
def test_without_a_message_id_each_sender_written_header_counts(header: str, value: str) -> None:
    assert read(mail(**DATED), OWN).key != read(mail(**(DATED | {header: value})), OWN).key


def test_without_a_message_id_the_body_counts_and_transport_headers_do_not() -> None:
    key = read(mail(**DATED), OWN).key
    assert read(mail("The panel beeped.", **DATED), OWN).key != key
    assert read(b"Received: by a relay\r\nDKIM-Signature: x\r\n" + mail(**DATED), OWN).key == key
    assert read(mail(message_id="<>", **DATED), OWN).key == key  # an invalid id


def test_a_message_id_identifies_a_message_only_together_with_its_sender() -> None:
    known = read(mail(message_id="<1@b.test>"), OWN).key
    assert read(mail("Another.", sender="Bob <ANN@BELL.test>", message_id="<1@b.test>", **DATED), OWN).key == known
    assert read(mail(sender="eve@bell.test", message_id="<1@b.test>"), OWN).key != known
    assert read(mail(message_id="<2@b.test>"), OWN).key != known


@pytest.mark.parametrize("attached", ["application/pdf; name=a.pdf", "application/pdf; name=b.pdf", None])
def test_the_content_key_covers_sender_subject_words_and_attachments(attached: str | None) -> None:
    def content(text: str, sender: str = "ann@bell.test", subject: str = "Panel") -> bytes:
        part = f"--b\r\nContent-Type: {attached}\r\n\r\nx\r\n" if attached else ""
        body = f"--b\r\n\r\n{text}\r\n{part}--b--"
        return taken(mail(body, sender=sender, subject=subject, content_type="multipart/mixed; boundary=b")).content

    same = {content("It beeps."), content("It  beeps.\r\n"), content("It beeps.", "Ann <ANN@bell.test>")}
    others = {content("It beeped."), content("It beeps.", "bob@bell.test"), content("It beeps.", subject="Alarm")}
    assert (len(same), len(others), same & others) == (1, 3, set())
    elsewhere = {taken(mail("It beeps.", sender="ann@bell.test", subject="Panel")).content}
    assert (same == elsewhere) is (attached is None)


# Parts


def parts(*parts: str, kind: str = "mixed") -> bytes:
    body = "".join(f"--b\r\n{part}\r\n" for part in parts) + "--b--\r\n"
    return mail(body, content_type=f"multipart/{kind}; boundary=b")


PLAIN, HTML = "Content-Type: text/plain\r\n\r\nplain", "Content-Type: text/html\r\n\r\n<p>shown</p>"


def named(found: IncomingMail) -> list[str]:
    return [f"{file.name} ({file.content_type})" if file.name else file.content_type for file in found.files]


def test_the_first_alternative_with_text_is_read() -> None:
    assert taken(parts(PLAIN, HTML, kind="alternative")).text == "plain"
    assert taken(parts("Content-Type: text/plain\r\n\r\n \r\n", HTML, kind="alternative")).text == "shown"
    pictures = ["Content-Type: image/png; name=a.png\r\n\r\nx", "Content-Type: image/gif; name=a.gif\r\n\r\nx"]
    found = taken(parts(*pictures, kind="alternative"))
    assert (found.text, named(found)) == ("", ["a.png (image/png)", "a.gif (image/gif)"])
    assert taken(parts(PLAIN, HTML)).text == "plain\n\nshown"  # no alternatives: both are read


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Content-Type: text/plain\r\nContent-Disposition: attachment", "text/plain"),
        ("Content-Type: text/plain; name=a.txt", "a.txt (text/plain)"),
        ("Content-Type: text/plain\r\nContent-Disposition: inline; filename=a.txt", "a.txt (text/plain)"),
        ("Content-Type: image/png", "image/png"),
        (f"Content-Type: a/b; name={'n' * 200}", f"{'n' * 200} (a/b)"),
        (f"Content-Type: a/b; name={'n' * 201}", f"{'n' * 199}… (a/b)"),
        (f"Content-Type: a/{'t' * 250}", f"a/{'t' * 197}…"),
    ],
)
def test_parts_that_are_not_readable_text_are_named_as_attachments(header: str, name: str) -> None:
    found = taken(parts(PLAIN, f"{header}\r\n\r\nhidden"))
    assert (found.text, named(found)) == ("plain", [name])


def test_hidden_html_is_left_out() -> None:
    for hidden in ("script", "style", "template", "noscript"):
        assert html_to_text(f"<div>a<{hidden}>secret</{hidden}> b</div>") == "a b", hidden
    assert html_to_text("<html><head><title>secret</title></head><body>a</body></html>") == "a"
    assert html_to_text("<!-- secret --><p>a<!-- secret --></p><?secret?>") == "a"
    assert html_to_text(" \n") == html_to_text("<!-- x -->") == ""


@pytest.mark.parametrize(
    "hidden",
    [
        '<div style="display:none;max-height:0;overflow:hidden">secret</div>',
        '<div style="DISPLAY : NONE !important"><p>secret</p><p style="display:block">secret</p></div>',
        '<span style="color:#fff;visibility: hidden">secret</span>',
        '<span style="opacity:0">secret</span>',
        '<span style="opacity: 0.0;">secret</span>',
        '<div style="mso-hide:all;max-height:0px">secret</div>',
        '<span style="font-size:0">secret</span>',
        '<span style="font-size:1px;line-height:1px;color:#ffffff">secret</span>',
        "<div hidden>secret</div>",
        "<style>p.x, .pre { color: red; display: none !important }</style><div class='a pre'>secret</div>",
    ],
)
def test_hidden_preheaders_are_left_out(hidden: str) -> None:
    assert html_to_text(f"<body>{hidden}<p>It beeps.</p></body>") == "It beeps."


@pytest.mark.parametrize(
    "shown",
    [
        '<div style="opacity:0.9">It beeps.</div>',
        '<div style="fill-opacity:0">It beeps.</div>',
        '<div style="max-height:0.5em">It beeps.</div>',
        '<div style="font-size:0"><span style="font-size:12px">It beeps.</span></div>',
        '<div style="font-size:10px">It beeps.</div>',
        "<style>@media (max-width: 9px) { .m { display: none } }</style><p class=m>It beeps.</p>",
        "<style>.m b { display: none } .n { display: block }</style><p class='m n'>It beeps.</p>",
    ],
)
def test_what_only_looks_hidden_is_shown(shown: str) -> None:
    assert html_to_text(f"<body>{shown}</body>") == "It beeps."


def test_quotes_in_html_have_marks() -> None:
    html = "<p>Hi.</p>Ann:<blockquote type=cite><p>a</p>b<br>c<blockquote>d</blockquote></blockquote>Below."
    assert html_to_text(html) == "Hi.\n\nAnn:\n\n> a\n>\n> b\n> c\n>\n>> d\n\nBelow."
    assert html_to_text("<p>a&#xfff9;b&#x202e;c</p>") == "abc"  # nobody else can write our marks
    deep = html_to_text("<blockquote>" * 200 + "x")
    assert deep == f"{'>' * 20} x"


def test_images_in_the_text_itself_are_left_out() -> None:
    lines = "".join(f"{letter * 76}\n" for letter in "ABC")
    for image in ("data:image/png;base64,iVBORw0KGgo=", f"data:image/gif;charset=x;base64,R0lG\n{lines}DD=="):
        assert without_data(f"See ![x]({image})\nIt beeps\nagain.") == "See ![x](image)\nIt beeps\nagain."
        assert without_data(f"[{image}]") == "(image)"
    assert without_data("Your data:image/x is broken, data:") == "Your data:image/x is broken, data:"
    assert taken(mail("<data:image/png;base64,AA> It beeps.")).text == "(image) It beeps."


def test_huge_html_is_shortened_and_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_text, "_HTML_MAX", 100)
    fits = "<p>" + "x" * 97
    assert html_to_text(fits) == "x" * 97
    beginning, _, marker = html_to_text(fits + "y").partition("\n\n")
    assert (beginning, "HTML was shortened" in marker) == ("x" * 97, True)


def test_a_huge_text_is_shortened_and_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "TEXT_MAX", 50)
    for length, cut in ((49, False), (50, False), (51, True)):
        found = taken(mail("é" * length))
        assert (found.text, found.cut) == ("é" * min(length, 50), cut)
    answer = taken(mail("Yes.\n> a\n> b\n> c\n> d" + "e" * 100, subject="Re: x"))
    assert (answer.text, answer.cut) == ("Yes.", True)


# Limits: at the limit a message is read, above it the message is kept aside


LONG = parts(PLAIN, "Content-Type: multipart/mixed; boundary=c\r\n\r\nx")


@pytest.mark.parametrize(
    ("limit", "raw", "measure", "why"),
    [
        ("BYTES_MAX", LONG, len(LONG), "The message is larger than"),
        ("_HEADER_BYTES_MAX", LONG, LONG.index(b"--b"), "The header is larger than"),
        ("_HEADERS_MAX", LONG, 5, "The header has more than"),  # including the blank line at the end
        ("_LINES_MAX", LONG, LONG.count(b"\n"), "lines"),
        ("_LINES_MAX", LONG.replace(b"\r\n", b"\r"), LONG.count(b"\n"), "lines"),
        ("_MULTIPARTS_MAX", LONG, 2, "too many nested parts"),
        ("_LINES_AND_MULTIPARTS_MAX", LONG, 2 * LONG.count(b"\n"), "too many nested parts"),
        ("_PARTS_MAX", LONG, 4, "The message has more than 3 parts"),  # the library counts one too many
        ("_PARAMETERS_MAX", LONG, len("multipart/mixed; boundary=c"), "A header of a part has more than"),
    ],
)
def test_a_message_at_a_limit_is_read_and_above_it_kept_aside(
    monkeypatch: pytest.MonkeyPatch, limit: str, raw: bytes, measure: int, why: str
) -> None:
    module = inbound if hasattr(inbound, limit) else mail_parts
    monkeypatch.setattr(module, limit, measure)
    taken(raw)
    monkeypatch.setattr(module, limit, measure - 1)
    found = read(raw, OWN)
    assert why in (found.unusable or "")
    assert (found.from_address, found.from_name, found.subject) == ("ann@bell.test", "Ann Bell", "Beeping panel")
    assert (found.size, found.content) == (len(raw), found.key)


def test_ordinary_messages_are_within_the_limits() -> None:
    assert (inbound.BYTES_MAX, inbound.KEPT_MAX, inbound.TEXT_MAX) == (25 * 2**20, 2**20, 200_000)
    taken(mail(**{f"x{n}": "y" for n in range(900)}))
    taken(mail("x\n" * 100_000))
    taken(parts(*[PLAIN] * 250))


@pytest.mark.parametrize(("length", "known"), [(254, True), (255, False)])
def test_an_address_longer_than_254_characters_is_unusable(length: int, known: bool) -> None:
    address = "a@" + "b" * (length - 7) + ".test"
    for sender in (address, f"Ann <{address}>"):
        found = read(mail(sender=sender), OWN)
        assert (found.from_address == address, found.unusable is None) == (known, known)


@pytest.mark.parametrize(("blanks", "known"), [(4_000, True), (6_000, False)])
def test_an_overlong_from_header_has_no_sender(blanks: int, known: bool) -> None:
    assert (read(mail(sender=f"Ann{' ' * blanks}<ann@bell.test>"), OWN).from_address is not None) is known


@pytest.mark.parametrize("character", ["x", "é", "日", "😀"])
def test_long_names_and_subjects_are_shortened_by_characters(character: str) -> None:
    for length, shown in ((199, 199), (200, 200), (201, 199)):
        text = character * length
        cut = "…" if length > 200 else ""
        for written in (text, f"=?utf-8?b?{base64.b64encode(text.encode()).decode()}?="):
            found = taken(mail(sender=f"{written} <ann@bell.test>", subject=written))
            assert (found.from_name, found.subject) == (character * shown + cut,) * 2


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("=?utf-8?q?T=C3=BCr?= klemmt", "Tür klemmt"),
        ("日 =?utf-8?q?T=C3=BCr?=", "日 Tür"),  # text beside an encoded word
        ("=?iso-8859-1?q?T=FCr?=", "Tür"),
        ("=?no-such-charset?q?T=C3=BCr?=", "Tür"),
        ("=?utf-8?b?!?= x", "x"),
        ("=?utf-8?b?A?= x", "=?utf-8?b?A?= x"),  # unreadable words stay as they are
    ],
)
def test_encoded_words_in_a_subject_are_decoded(subject: str, shown: str) -> None:
    assert taken(mail(subject=subject)).subject == shown


# The sender


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("Doe, Jo <ann@bell.test>", "Doe, Jo"),
        ('"Jo \\"J\\" Doe" <ann@bell.test>', 'Jo "J" Doe'),
        ("Jo (at work) <ann@bell.test>", "Jo (at work)"),
        *((form, "") for form in ("<ann@bell.test>", "ann@bell.test", "ann@bell.test (Jo)", " ann@bell.test ")),
        # A name that looks like an address is somebody else's.
        *((f"{form} <ann@bell.test>", "") for form in ("eve@bad.test", '"eve@bad.test"', "=?utf-8?q?eve=40bad.test?=")),
        ('"a <eve@bad.test>, b" <ann@bell.test>', ""),
        ("Jo\u202e <ann@bell.test>", "Jo"),
        ("=?utf-8?q?J=C3=B6?= <ann@bell.test>", "Jö"),
    ],
)
def test_the_sender_is_the_single_address(sender: str, name: str) -> None:
    found = taken(mail(sender=sender))
    assert (found.from_address, found.from_name) == ("ann@bell.test", name)


@pytest.mark.parametrize(
    "sender",
    [
        *("a@bell.test, b@bell.test", "A <a@bell.test>, B <b@bell.test>", "a@bell.test, B <b@bell.test>"),
        *("Us: A <a@bell.test>;", "Us; A <a@bell.test>", "undisclosed-recipients:;", "", "<>", "Ann", "<ann>"),
        *("A <a@bell.test> b", "<a@bell.test", "a@bell.test>", "a@b@bell.test", "a b@bell.test", "A <a b@bell.test>"),
        *('"a"@bell.test', "a\\@bell.test", "a:b@bell.test", "a@[127.0.0.1]", "a\u202e@bell.test", "a@bell\xad.test"),
    ],
)
def test_a_from_header_without_exactly_one_address_is_unusable(sender: str) -> None:
    found = read(mail(sender=sender), OWN)
    assert (found.from_address, found.unusable) == (None, "The From header must contain exactly one address.")


# Texts


CODECS = [(b"mnchen-3ya", "punycode"), (b"xn--mnchen-3ya", "idna"), (b"abc", "undefined")]
CODECS += [(rb"\u00e9", "unicode_escape"), (rb"\u00e9", "raw_unicode_escape")]


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("Grüße".encode(), "utf-8", "Grüße"),
        ("Grüße".encode(), None, "Grüße"),
        ("Grüße".encode(), "us-ascii", "Grüße"),
        ("Grüße".encode("latin-1"), "iso-8859-1", "Grüße"),
        ("Grüße".encode("latin-1"), "utf-8", "Grüße"),
        ("Grüße".encode("latin-1"), "no-such-charset", "Grüße"),
        ("“Grüße”".encode("cp1252"), None, "“Grüße”"),
        (b"\x81", None, "\ufffd"),
        ("Привет".encode("koi8-r"), "KOI8-R", "Привет"),
        ("Привет".encode("utf-16-be"), "utf-16-be", "Привет"),
        (b"\0a\0b", "utf-16-be", "ab"),  # valid as UTF-8 too
        # Python's own codecs are not mail charsets.
        *((data, name, data.decode()) for data, name in CODECS for name in (name, name.replace("_", "-").upper())),
        (b"YWJj", "base64", "YWJj"),
        (b"abc", "x" * 41, "abc"),
        (b"abc", "../utf-16", "abc"),
    ],
)
def test_a_declared_charset_is_used_if_it_fits(data: bytes, charset: str | None, text: str) -> None:
    assert decoded(data, charset) == text


@pytest.mark.parametrize(
    "end", ["\r\n", "\r", "\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
)
def test_every_line_ending_is_normalised(end: str) -> None:
    assert tidy(f"a{end}b{end}{end}c") == "a\nb\n\nc"
    assert one_line(f"a{end}b") == "a b"


HARMFUL = [(0x00, 0x08), (0x0E, 0x1B), (0x1F, 0x1F), (0x7F, 0x84), (0x86, 0x9F), (0x61C, 0x61C), (0x200E, 0x200F)]
HARMFUL += [(0x202A, 0x202E), (0x2066, 0x2069), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xD800, 0xDFFF)]
KEPT = "\t\n ~\xa0¡\u061b\u061d\u200b\u200d\u2010\u2027\u202f\u2065\u206a\ufefe\uff00\ufff8\ufffd\ud7ff\ue000😀"


def test_invisible_characters_are_removed_and_their_neighbours_kept() -> None:
    for first, last in HARMFUL:
        assert tidy(f"a{chr(first)}b{chr(last)}c") == "abc", hex(first)
    assert tidy(KEPT) == KEPT


def test_a_text_is_shortened_only_above_the_limit() -> None:
    assert [shortened("x" * n, 5) for n in (4, 5, 6, 7)] == ["xxxx", "xxxxx", "xxxx…", "xxxx…"]
    assert shortened("abc def", 5) == "abc…"
    assert one_line("  a \t b\r\n c ", 5) == "a b c"
    assert one_line("  a \t b\r\n c d", 5) == "a b…"
    assert one_line("x" * 10_000) == "x" * 10_000


# Our own Message-IDs


def test_our_message_ids_name_their_ticket_in_any_case() -> None:
    root, sent = (
        message_ids.of_ticket(TICKET, "callout.test"),
        message_ids.of_delivery(DELIVERY, TICKET, "callout.test"),
    )
    other = message_ids.of_delivery(TICKET, TICKET, "callout.test")
    for id_ in (root, sent, other, sent.upper(), f"  {sent}\r\n"):
        assert OWN.ticket_of(id_) == TICKET
    assert len({root, sent, other}) == 3
    for a, b in pairwise((root, sent, root)):
        assert OWN.ticket_of(f"{a}{b}") is None
    for wrong in ("callout.test.evil", "evil.callout.test", "callout,test"):
        assert OWN.ticket_of(message_ids.of_delivery(DELIVERY, TICKET, wrong)) is None
    assert OWN.ticket_of(sent.replace("ticket", "tickets")) is None
    assert OWN.ticket_of(sent[1:-1]) is None
