"""The mails we send, parsed as a mail program parses them after passing through a real server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path

import pytest

from db.enums import Audience, NoticeKind, TicketCategory, TicketPriority
from notifiers import message_ids
from notifiers.company_profile import CompanyProfile, zone_of
from notifiers.links import TicketLinks
from notifiers.mail_folder import MailFolder
from notifiers.notification import Notification, TicketFacts, Unavailable, Undeliverable
from notifiers.rendering import BrokenTemplate, Templates
from notifiers.samples import all_samples
from notifiers.smtp import Smtp
from notifiers.smtp_server import SmtpServer
from tests.helpers.mail_server import MailServer, mail_server
from tests.helpers.notifications import DOMAIN, LINKS, PUBLIC_URL, composer, notification

CONFIRM_URL = "https://callout.test/api/confirm-address"
VOID = {"br", "meta", "img", "hr"}


@pytest.fixture(scope="module")
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture
async def channel(server: MailServer) -> AsyncIterator[Smtp]:
    server.received.clear()
    made = Smtp(SmtpServer.parse(server.url), composer())
    yield made
    await made.close()


async def sent(channel: Smtp, server: MailServer, sample: Notification) -> EmailMessage:
    await channel.send(sample)
    return server.received[-1].message


def text_of(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    assert isinstance(part, EmailMessage)
    content: str = part.get_content()
    return content.replace("\r\n", "\n")


def ticket_of(sample: Notification) -> TicketFacts:
    assert sample.ticket is not None
    return sample.ticket


class Balanced(HTMLParser):
    """Parses HTML whose elements must nest, and collects its text, links and elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.elements: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "background")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


# Headers


async def test_a_mail_has_all_its_headers_and_both_bodies(channel: Smtp, server: MailServer) -> None:
    sample = notification(
        NoticeKind.CREATED, Audience.CUSTOMER, recipient="ann@example.com", recipient_name="Ann Tremblay"
    )
    ticket = ticket_of(sample)
    message = await sent(channel, server, sample)
    assert (server.received[-1].sender, server.received[-1].recipients) == (f"support@{DOMAIN}", ["ann@example.com"])
    root = message_ids.of_ticket(ticket.id, DOMAIN)
    assert dict(message.items()) == {
        "From": f"Callout <support@{DOMAIN}>",
        "To": "Ann Tremblay <ann@example.com>",
        "Reply-To": f"answers@{DOMAIN}",
        "Subject": f"[{ticket.reference}] {ticket.subject}",
        "Date": "Tue, 24 Nov 2026 14:12:00 +0000",
        "Message-ID": message_ids.of_delivery(sample.delivery_id, ticket.id, DOMAIN),
        "In-Reply-To": root,
        "References": root,
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "OOF, AutoReply",
        "MIME-Version": "1.0",
        "Content-Type": message["content-type"],
    }
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert [part.defects for part in message.walk()] == [[], [], []]


async def test_all_mails_of_a_ticket_form_one_thread(channel: Smtp, server: MailServer) -> None:
    first = notification(NoticeKind.CREATED)
    root = message_ids.of_ticket(ticket_of(first).id, DOMAIN)
    opened = await sent(channel, server, first)
    answer = "<CAF+x=_y@mail.example.com>"  # sent by the customer
    later = notification(NoticeKind.RESOLVED, thread=(opened["message-id"], answer))
    resolved = await sent(channel, server, later)
    assert resolved["subject"] == opened["subject"]
    assert resolved["in-reply-to"] == answer
    assert resolved["references"].split() == [root, opened["message-id"], answer]
    assert resolved["message-id"] != opened["message-id"]
    assert message_ids.ticket_of(resolved["message-id"], DOMAIN) == ticket_of(first).id


async def test_the_references_of_a_long_thread_keep_its_root_and_its_end(channel: Smtp, server: MailServer) -> None:
    sample = notification(thread=tuple(f"<{n}.{'x' * 120}@example.com>" for n in range(400)))
    message = await sent(channel, server, sample)
    references = message["references"].split()
    assert references[0] == message_ids.of_ticket(ticket_of(sample).id, DOMAIN)
    assert references[-1] == message["in-reply-to"] == sample.thread[-1]
    assert len(references) <= 50


async def test_invalid_message_ids_are_left_out_of_the_references(channel: Smtp, server: MailServer) -> None:
    good = "<good@example.com>"
    bad = ("<a@b>\r\nBcc: evil@example.com", "<a b@c>", "x", "", "<é@b>", f"<{'x' * 999}@b>", "<a@b> <c@d>")
    message = await sent(channel, server, notification(thread=(good, *bad)))
    assert message["references"].split()[1:] == [good]
    assert message["in-reply-to"] == good
    assert message["bcc"] is None


async def test_a_retry_sends_the_same_mail(channel: Smtp, server: MailServer) -> None:
    sample = notification(thread=("<a@b.test>",))
    await channel.send(sample)
    await channel.send(sample)
    first, second = server.received
    assert first == second


async def test_a_test_mail_belongs_to_no_ticket(channel: Smtp, server: MailServer) -> None:
    message = await sent(channel, server, notification(NoticeKind.TEST, Audience.ADMIN))
    assert (message["in-reply-to"], message["references"]) == (None, None)
    assert message["message-id"].endswith(f"@{DOMAIN}>")
    assert message_ids.ticket_of(message["message-id"], DOMAIN) is None


SUBJECTS = [
    "a\r\nBcc: evil@example.com",
    "a\rb",
    "a\nb",
    "a\u2028b\u2029c",
    "a\x0bb\x0cc\x85d",
    "a\x00b\x1bc",
    "=?utf-8?q?a=0D=0ABcc=3A_evil=40example=2Ecom?=",
    "a =?utf-8?b?ZXZpbA==?= b",
    "x" * 200,
    "ü" * 200,
    "Zoë 😀 日本語 " * 15,
    "a " * 100,
    "\u202eevil\u202c",
    " ",
    "Re: [TKT-ZZZZZZ] " + "é, " * 40,
]


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_a_subject_cannot_add_a_header_and_stays_readable(
    channel: Smtp, server: MailServer, subject: str
) -> None:
    message = await sent(channel, server, notification(ticket={"subject": subject}))
    assert message["bcc"] is None
    assert len(message.items()) == 12
    shown = re.sub(r"[\s\x85\u2028\u2029]+", " ", re.sub("[\u202a-\u202e\x00\x1b]", "", subject)).strip()
    assert str(make_header(decode_header(_raw(server, "Subject")))) == f"[TKT-A2B4C3] {shown}".strip()
    assert all(len(line) <= 76 for line in _raw_lines(server, "Subject"))


def _raw(server: MailServer, name: str) -> str:
    return " ".join(line.strip() for line in _raw_lines(server, name)).removeprefix(f"{name}: ")


def _raw_lines(server: MailServer, name: str) -> list[str]:
    """Returns the lines of a header as sent: Python's parser adds spaces between encoded words in names."""
    head = server.received[-1].octets.partition(b"\r\n\r\n")[0].decode("ascii")
    found = re.search(rf"^{name}: [^\r]*(?:\r\n [^\r]*)*", head, re.MULTILINE)
    assert found
    return found[0].split("\r\n")


NAMES = [
    "Smith, Ann",
    "evil@x, Bob",
    'Ann "Andy" O\\Neil',
    "Zoë Ünal",
    "Zoë, evil@example.com",
    "日本 太郎",
    "Bob (the builder) <evil@example.com>",
    "a,b@c.d," * 20,
    "é, evil@example.com, " * 12,
    "=?utf-8?q?evil=2C_a=40b=2Ec?=",
    "a\r\nBcc: evil@example.com",
    "a\u2028b\x0bc",
    "; : , . [ ] @",
    "x" * 200,
    "",
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_cannot_add_a_recipient(channel: Smtp, server: MailServer, name: str) -> None:
    message = await sent(channel, server, notification(recipient="ann@example.com", recipient_name=name))
    assert server.received[-1].recipients == ["ann@example.com"]
    assert [address.addr_spec for address in message["to"].addresses] == ["ann@example.com"]
    assert message["bcc"] is None
    shown = " ".join(re.sub(r"[\x00-\x1f\u2028]", " ", name).split())
    written = str(make_header(decode_header(_raw(server, "To").removesuffix(" <ann@example.com>"))))
    if not name:
        assert written == "ann@example.com"
    elif len(shown) <= 100:
        assert written == shown
    else:
        assert written[-1] == "…"
        assert shown.startswith(written[:-1])


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nobody",
        "@example.com",
        "ann@",
        "a@b.test, c@d.test",
        "ann@example.com\r\nRCPT TO:<evil@example.com>",
        "Ann <ann@example.com>",
        "a b@example.com",
        "ann@exa mple.com",
        "a(c)@example.com",
        "=?utf-8?q?x?=@example.com",
        "ann@-.com",
        f"{'a' * 250}@example.com",
        "ann\x00@example.com",
    ],
)
async def test_an_invalid_address_is_refused_before_anything_is_sent(
    channel: Smtp, server: MailServer, address: str
) -> None:
    with pytest.raises(Undeliverable, match="is not a valid address"):
        await channel.send(notification(recipient=address))
    assert server.received == []


async def test_a_non_ascii_domain_is_sent_in_its_ascii_form(channel: Smtp, server: MailServer) -> None:
    message = await sent(channel, server, notification(recipient="ann@straße.example", recipient_name="Ann"))
    assert server.received[-1].recipients == ["ann@xn--strae-oqa.example"]
    assert message["to"] == "Ann <ann@xn--strae-oqa.example>"


async def test_a_non_ascii_local_part_requires_smtputf8(channel: Smtp, server: MailServer) -> None:
    sample = notification(recipient="jörg@example.com", recipient_name="Jörg")
    with pytest.raises(Undeliverable, match="SMTPUTF8"):
        await channel.send(sample)
    assert server.received == []
    with mail_server(utf8=True) as modern:
        other = Smtp(SmtpServer.parse(modern.url), composer())
        await other.send(sample)
        await other.close()
    assert modern.received[0].recipients == ["jörg@example.com"]
    assert b" <j\xc3\xb6rg@example.com>\r\n" in modern.received[0].octets


# Bodies


def test_every_notification_has_equivalent_text_and_html() -> None:
    templates = Templates(links=LINKS, confirm_url=CONFIRM_URL)
    for sample in all_samples():
        text, html = templates.render(sample)
        page = Balanced(html)
        assert page.elements.isdisjoint({"img", "script", "link", "form"})
        if sample.ticket is None:
            assert page.links == []
            continue
        if sample.kind is NoticeKind.CONFIRM_ADDRESS:
            confirmation = f"{CONFIRM_URL}?token={sample.confirmation_token}"
            assert page.links == [confirmation]
            for said in (sample.ticket.reference, "confirm that this address is yours"):
                assert said in text
                assert said in page.text
            assert f"\n{confirmation}\n" in text
            continue
        if sample.summary:
            assert page.links == []
            for listed in sample.summary:
                for said in (listed.reference, listed.priority.capitalize(), listed.subject):
                    assert said in text
                    assert said in page.text
            continue
        link = f"{PUBLIC_URL}/tickets/{sample.ticket.reference}"
        if sample.kind is NoticeKind.UNASSIGNED:  # the technician may no longer see the ticket
            assert page.links == []
            assert sample.ticket.description not in text + html
        else:
            assert page.links == [link]
            assert link in text
        for said in (sample.ticket.reference, sample.ticket.subject):
            assert said in text
            assert said in page.text
        if sample.kind is NoticeKind.RESOLVED:
            for line in (sample.ticket.resolution or "").split("\n"):
                assert line in text
                assert line in page.text
        for file in sample.files:
            assert file.name in text
            assert file.name in page.text
        if sample.note is not None:
            assert sample.note in text
            assert sample.note in page.text


def test_links_lead_each_audience_to_its_own_page() -> None:
    links = TicketLinks("https://p.test/{reference}", "https://d.test/tickets/{reference}", "app://x.test/#{id}")
    found = {each: links.of(notification(NoticeKind.REOPENED, each)) for each in Audience}
    ticket_id = ticket_of(notification()).id
    dashboard = "https://d.test/tickets/TKT-A2B4C3"
    assert found == {
        Audience.CUSTOMER: "https://p.test/TKT-A2B4C3",
        Audience.ADMIN: dashboard,
        Audience.SPACE: dashboard,
        Audience.TECHNICIAN: f"app://x.test/#tkt_{ticket_id}",
    }
    assert links.of(notification(NoticeKind.TEST)) is None


def test_mail_to_staff_says_how_to_reach_the_contact_and_the_property() -> None:
    for kind, audience in (
        (NoticeKind.ASSIGNED, Audience.TECHNICIAN),
        (NoticeKind.CUSTOMER_ANSWERED, Audience.TECHNICIAN),
        (NoticeKind.REOPENED, Audience.TECHNICIAN),
        (NoticeKind.CREATED, Audience.ADMIN),
    ):
        text, html = Templates().render(notification(kind, audience))
        for said in ("613-555-0142", "400 Maple Court, Tower 1, Ottawa", "MC-1001"):
            assert said in text
            assert said in Balanced(html).text


@pytest.mark.parametrize("priority", TicketPriority)
def test_the_subject_for_staff_begins_with_a_priority_above_the_usual_ones(priority: TicketPriority) -> None:
    subjects = {}
    for audience in (Audience.TECHNICIAN, Audience.ADMIN, Audience.CUSTOMER):
        sample = notification(NoticeKind.ASSIGNED, audience, ticket={"priority": priority})
        message = message_from_bytes(composer().compose(sample).octets, policy=default)
        subjects[audience] = message["subject"]
    plain = f"[TKT-A2B4C3] {ticket_of(notification()).subject}"
    pressing = {TicketPriority.HIGH: "High: ", TicketPriority.URGENT: "Urgent: "}.get(priority, "")
    for_staff = plain.replace("] ", f"] {pressing}", 1)
    assert list(subjects.values()) == [for_staff, for_staff, plain]


def test_a_receipt_does_not_call_the_customers_words_what_staff_have_typed() -> None:
    for by_staff in (False, True):
        text, html = Templates().render(notification(ticket={"by_staff": by_staff}))
        for part in (text, Balanced(html).text):
            assert ("Your message" in part, "What we have noted" in part) == (not by_staff, by_staff)
            assert ("Thank you for getting in touch" in part) is (not by_staff)


def test_times_are_in_the_companys_zone_and_name_it() -> None:
    sample = notification(NoticeKind.RESOLVED)
    assert sample.at == datetime(2026, 11, 24, 14, 12, tzinfo=UTC)
    for zone, written in (
        ("America/Toronto", "24 November 2026, 09:12 EST"),
        ("Asia/Kolkata", "24 November 2026, 19:42 IST"),
        ("America/Sao_Paulo", "24 November 2026, 11:12 UTC-03"),
        ("UTC", "24 November 2026, 14:12 UTC"),
    ):
        text, html = Templates(company=CompanyProfile(zone=zone_of(zone))).render(sample)
        assert written in text
        assert written in Balanced(html).text


def test_the_companys_name_or_logo_is_in_every_mail() -> None:
    logo = "https://maple.test/logo.png"
    for company in (CompanyProfile("Maple & <Sons>"), CompanyProfile("Maple & <Sons>", logo)):
        for sample in all_samples():
            text, html = Templates(company=company).render(sample)
            assert "\n--\nMaple & <Sons>\n" in text
            assert ("Maple & <Sons>" in Balanced(html).text) is (company.logo_url is None)
            assert (f'<img src="{logo}" alt="Maple &amp; &lt;Sons&gt;"' in html) is (company.logo_url is not None)


def test_without_a_public_url_there_is_no_link() -> None:
    for sample in all_samples():
        text, html = Templates().render(sample)
        assert Balanced(html).links == []
        assert "http" not in text


async def test_user_texts_are_escaped(channel: Smtp, server: MailServer) -> None:
    evil = '<script>alert(1)</script> <img src=x onerror=alert(1)> "&amp; {{ 7 * 7 }}'
    facts = ("subject", "description", "resolution", "contact_name", "customer_name", "property_address")
    for kind in NoticeKind:
        for audience in Audience:
            sample = notification(
                kind,
                audience,
                ticket=dict.fromkeys(facts, evil),
                note=evil,
                recipient_name=evil,
                actor_name=evil,
            )
            message = await sent(channel, server, sample)
            page = Balanced(text_of(message, "html"))
            assert page.elements.isdisjoint({"img", "script"})
            shown = kind is not NoticeKind.CONFIRM_ADDRESS  # which goes to strangers
            assert (evil in page.text) is shown
            assert (evil in text_of(message, "plain")) is shown


@pytest.mark.parametrize("confirm_url", [None, CONFIRM_URL])
def test_a_mail_that_asks_to_confirm_an_address_has_nothing_that_anybody_has_typed(confirm_url: str | None) -> None:
    """The recipient may be a stranger to whom the ticket's creator wants to advertise. So no header and no part has any
    of the ticket's texts, nor a name."""
    typed = "Swordfish"
    texts = (
        "subject",
        "description",
        "resolution",
        "contact_name",
        "customer_name",
        "property_address",
        "technician_name",
    )
    sample = notification(
        NoticeKind.CONFIRM_ADDRESS,
        ticket=dict.fromkeys(texts, typed) | {"category": TicketCategory.CCTV, "priority": TicketPriority.URGENT},
        note=typed,
        actor_name=typed,
    )
    mail = composer(Templates(links=LINKS, confirm_url=confirm_url)).compose(sample)
    message = message_from_bytes(mail.octets, policy=default)
    assert isinstance(message, EmailMessage)
    parts = [text_of(message, "plain"), text_of(message, "html"), *map(str, message.values())]
    assert not [part for part in parts if typed in part or "CCTV" in part or "rgent" in part]
    assert message["to"] == sample.recipient
    assert message["subject"] == f"[{ticket_of(sample).reference}] Please confirm your e-mail address"


def test_a_template_cannot_show_a_stranger_what_somebody_has_typed(tmp_path: Path) -> None:
    for name in ("ticket.subject", "ticket.contact_name", "actor", "recipient_name", "note"):
        (tmp_path / "confirm_address.txt").write_text(f"{{{{ {name} }}}}")
        with pytest.raises(BrokenTemplate, match=r"confirm_address\.txt"):
            Templates(tmp_path).render(notification(NoticeKind.CONFIRM_ADDRESS))


ABOUT_NOTES = {NoticeKind.CREATED, NoticeKind.NOTE_ADDED, NoticeKind.CUSTOMER_ANSWERED, NoticeKind.REOPENED}
ABOUT_NOTES |= {NoticeKind.DECLINED}
"""The first note of a ticket that follows up another is what its creation is notified with, and the reason of a refusal
what that is."""


async def test_the_note_is_only_in_a_notification_of_it(channel: Smtp, server: MailServer) -> None:
    for kind in NoticeKind:
        message = await sent(channel, server, notification(kind, note="swordfish"))
        both = text_of(message, "plain") + text_of(message, "html")
        assert ("swordfish" in both) is (kind in ABOUT_NOTES)


async def test_long_and_unusual_texts_arrive_unchanged(channel: Smtp, server: MailServer) -> None:
    for text in (
        "x" * 20_000,
        "ü" * 20_000,
        "a b " * 5_000,
        ".\n..\n.hidden\nFrom here\n--\n--=_x--",
        "blanks at the end  \nand\ttabs\t",
        "=C3=A4 == =",
    ):
        message = await sent(channel, server, notification(ticket={"description": text}))
        assert text in text_of(message, "plain")
        assert text in Balanced(text_of(message, "html")).text
        lines = server.received[-1].octets.split(b"\r\n")
        assert max(map(len, lines)) <= 998
        assert not any(b"\r" in line or b"\n" in line for line in lines)


async def test_control_characters_are_removed_from_texts(channel: Smtp, server: MailServer) -> None:
    message = await sent(channel, server, notification(ticket={"description": "a\x1b[31mred\x00\x07\r\nb\u2028c\rd"}))
    for subtype in ("plain", "html"):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\u2028]", text_of(message, subtype))
    assert "a[31mred\nb\nc\nd" in text_of(message, "plain")


# Operators' templates


@pytest.fixture
def overridden(tmp_path: Path) -> Callable[[str, str], Templates]:
    def override(name: str, text: str) -> Templates:
        (tmp_path / name).write_text(text)
        return Templates(tmp_path, links=LINKS)

    return override


def test_an_operators_template_replaces_or_extends_ours(overridden: Callable[[str, str], Templates]) -> None:
    templates = overridden("resolved.txt", "Done: {{ ticket.resolution | lines }} {{ at | when }}")
    text, html = templates.render(notification(NoticeKind.RESOLVED))
    assert text.startswith("Done: Replaced")
    assert "Your ticket is resolved" in html
    assert "Done" not in templates.render(notification(NoticeKind.CREATED))[0]

    templates = overridden(
        "resolved.html",
        '{% extends "callout/resolved.html" %}{% block footer %}Maple Alarms Ltd. {{ super() }}{% endblock %}',
    )
    assert "Maple Alarms Ltd." in templates.render(notification(NoticeKind.RESOLVED))[1]
    templates = overridden("resolved_admin.txt", "For admins")
    assert templates.render(notification(NoticeKind.RESOLVED, Audience.ADMIN))[0] == "For admins\n"
    assert templates.render(notification(NoticeKind.RESOLVED))[0].startswith("Done")
    assert templates.problems() == []


def test_an_operators_layout_applies_to_all_templates(overridden: Callable[[str, str], Templates]) -> None:
    templates = overridden(
        "layout.html", '{% import "parts.html" as parts %}<h1>Maple</h1>{% block content %}{% endblock %}'
    )
    assert templates.problems() == []
    for sample in all_samples():
        assert templates.render(sample)[1].startswith("<h1>Maple</h1>")


async def test_a_broken_template_keeps_mail_waiting(
    server: MailServer, overridden: Callable[[str, str], Templates]
) -> None:
    server.received.clear()
    for text, why in {
        "Hello\n{% if %}": r"created_customer\.txt, line 2: ",
        "{{ ticket.refrence }}": r"created_customer\.txt: .*refrence",
        "{{ nobody }}": r"created_customer\.txt: .*nobody",
        "{{ 1 / 0 }}": r"created_customer\.txt: division by zero",
        '{% extends "nothing.txt" %}': r"nothing\.txt",
        "{{ ticket.subject() }}": r"created_customer\.txt: .*not callable",
        "{% include 'created_customer.txt' %}": r"created_customer\.txt: .*recursion",
    }.items():
        templates = overridden("created_customer.txt", text)
        assert [line for line in templates.problems() if re.search(why, line)]
        channel = Smtp(SmtpServer.parse(server.url), composer(templates))
        with pytest.raises(Unavailable, match=why):
            await channel.send(notification())
        assert server.received == []
        overridden("created_customer.txt", "mended")
        await channel.send(notification())  # without a restart
        assert text_of(server.received.pop().message, "plain") == "mended\n"
        await channel.close()


def test_the_template_folder_must_exist(tmp_path: Path) -> None:
    assert Templates(tmp_path / "nowhere").problems() == [f"{tmp_path}/nowhere is not a folder"]
    assert Templates(tmp_path).problems() == []


# The mail folder in development


async def test_the_mail_folder_contains_one_file_for_each_mail_in_order(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path / "mail", composer())
    base = notification(NoticeKind.CREATED, recipient_name="Zoë, evil@example.com")
    later = replace(notification(NoticeKind.RESOLVED), at=base.at.replace(hour=15))
    test = replace(notification(NoticeKind.TEST, Audience.ADMIN), at=base.at.replace(hour=16))
    said = await asyncio.gather(*map(folder.send, (test, later, base, base)))  # `base` is sent twice
    files = sorted((tmp_path / "mail").iterdir())
    assert [str(file) for file in files] == [said[2].removeprefix("written to "), *(line[11:] for line in said[1::-1])]
    assert ["TKT-A2B4C3" in file.name for file in files] == [True, True, False]
    assert all(file.suffix == ".eml" for file in files)
    for file, sample in zip(files, (base, later, test), strict=True):
        message = message_from_bytes(file.read_bytes(), policy=default)
        assert isinstance(message, EmailMessage)
        assert [part.defects for part in message.walk()] == [[], [], []]
        assert message["to"].addresses[0].addr_spec == sample.recipient
        assert text_of(message, "plain").strip()


async def test_an_unwritable_folder_keeps_mail_waiting(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file")
    with pytest.raises(Unavailable, match="Cannot write"):
        await MailFolder(tmp_path / "mail", composer()).send(notification())
