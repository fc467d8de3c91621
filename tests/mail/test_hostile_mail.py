"""Hostile mail: every message is ingested harmlessly or kept aside, and the server keeps working."""

from __future__ import annotations

import asyncio
import base64
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database
from tests.helpers.inbound_mail import SERVER, Pipe, environment, message


def multipart(*parts: str | bytes, kind: str = "mixed", boundary: str = "b") -> tuple[bytes, dict[str, str]]:
    """Returns a multipart body, whose parts bring their own headers, and the headers for it."""
    lines = [part.encode() if isinstance(part, str) else part for part in parts]
    body = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in lines)
    return body + b"--%b--\r\n" % boundary.encode(), {"content_type": f"multipart/{kind}; boundary={boundary}"}


def nested(depth: int, kind: str = "mixed") -> bytes:
    """Returns a message of nested parts without end boundaries."""
    levels = "".join(f"Content-Type: multipart/{kind}; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(depth))
    return b"From: eve@bad.test\r\n" + levels.encode() + b"\r\nInmost."


def mixed(*parts: str | bytes, **options: Any) -> bytes:
    body, headers = multipart(*parts, **options)
    return message("eve@bad.test", body, **headers)


def typed(content_type: str, body: str | bytes, **headers: str) -> bytes:
    return message("eve@bad.test", body, content_type=content_type, **headers)


def encoded(encoding: str, body: str) -> bytes:
    return message("eve@bad.test", body, content_transfer_encoding=encoding)


def inside(depth: int) -> bytes:
    """Returns the base64 of a message that is inside so many others."""
    raw = b"From: a\r\n\r\nInmost."
    for _ in range(depth):
        head = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        raw = head + base64.encodebytes(raw)
    return raw


PAGE = b"Content-Type: text/html\r\n\r\n" + b"<p>x " * 3_000
CROWD = "Content-Type: multipart/mixed; boundary=c\r\n\r\n" + "--c\r\n\r\nx\r\n" * 40
TNEF = b"\x78\x9f\x3e\x22\0\0"
TNEF_FILE = b"\2\2\x90\6\0" + b"\0" * 6
SIGNED = bytes.fromhex("308006092a864886f70d010702a080")

TAKEN, KEPT = "TICKET_CREATED", "KEPT_ASIDE"

HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", KEPT),
    "line ends": (b"\r\n" * 1000, KEPT),
    "NULs": (b"\0" * 10_000, KEPT),
    "all bytes": (bytes(range(256)) * 100, KEPT),
    "no header": (b"Just text.", KEPT),
    "no end of header": (b"From: eve@bad.test\r\nSubject: x", TAKEN),
    "colons": (b":\r\n:\r\n\r\n:", KEPT),
    "10,000 headers": (b"From: eve@bad.test\r\n" + b"X: y\r\n" * 10_000 + b"\r\nx", KEPT),
    "a header of half a megabyte": (message("eve@bad.test", subject="x" * 500_000), KEPT),
    "a header folded a thousand times": (message("eve@bad.test", subject="x" + "\r\n x" * 900), TAKEN),
    "a reference of 100,000 characters": (message("eve@bad.test", references="<" + "a" * 100_000 + ">"), TAKEN),
    "references without end": (message("eve@bad.test", references="<a@b> " * 30_000), TAKEN),
    "encoded words without end": (message("eve@bad.test", subject="=?utf-8?q?" * 10_000), TAKEN),
    "encoded words in unknown words": (message("eve@bad.test", subject="=?x?y?z?= =?utf-8?b?%%%?= \\u12 ü"), TAKEN),
    "nested 40 deep": (nested(40), TAKEN),
    "nested 10,000 deep": (nested(10_000), KEPT),
    "alternatives of alternatives": (nested(45, "alternative"), TAKEN),
    "messages in messages": (b"From: eve@bad.test\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 10_000, TAKEN),
    "messages in messages in base64": (typed("message/rfc822", inside(4)), TAKEN),
    "messages with HTML": (mixed(*["Content-Type: message/rfc822\r\n\r\n" + PAGE.decode()] * 40), TAKEN),
    "messages with many parts": (mixed(*["Content-Type: message/rfc822\r\n\r\n" + CROWD] * 20), KEPT),
    "files without end in TNEF": (typed("application/ms-tnef", TNEF + TNEF_FILE * 40_000), TAKEN),
    "TNEF whose sizes lie": (
        typed("application/ms-tnef", TNEF + b"\1\3\x90\6\0\xff\xff\xff\xff" + b"\xff" * 99),
        TAKEN,
    ),
    "TNEF of properties without end": (
        typed(
            "application/ms-tnef",
            TNEF + b"\1\3\x90\6\0\x10\0\0\0" + b"\xff\xff\xff\xff\3\x10\1\0\xff\xff\xff\x7f\0\0\0\0\0\0",
        ),
        TAKEN,
    ),
    "TNEF that is none": (typed("application/ms-tnef", b"\0" * 1_000), TAKEN),
    "calendars in calendars": (typed("text/calendar", "BEGIN:VCALENDAR\r\n" * 5_000), TAKEN),
    "a calendar of parameters": (
        typed(
            "text/calendar",
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;" + "A=B;" * 20_000 + ":x\r\nEND:VEVENT\r\nEND:VCALENDAR",
        ),
        TAKEN,
    ),
    "a calendar of half a megabyte": (typed("text/calendar", "BEGIN:VEVENT\r\n" * 35_000), TAKEN),
    "RTF of groups": (typed("text/rtf", "{\\rtf1" + "{" * 300_000), TAKEN),
    "signatures in signatures": (typed("application/pkcs7-mime", SIGNED + b"\x24\x80" * 200_000), TAKEN),
    "signed pieces without end": (typed("application/pkcs7-mime", SIGNED + b"\x05\x00" * 200_000), TAKEN),
    "beginnings of clear signatures": (message("eve@bad.test", "-----BEGIN PGP SIGNED MESSAGE-----\n" * 20_000), TAKEN),
    "beginnings of files": (message("eve@bad.test", "begin 644 x\n" * 40_000), TAKEN),
    "files of yEnc without end": (message("eve@bad.test", "=ybegin name=x\n" * 40_000), TAKEN),
    "images in HTML without end": (typed("text/html", "<img src='data:image/png;base64,AAAA'>" * 20_000), TAKEN),
    "bytes that look like every charset": (message("eve@bad.test", b"\xe4\x20+AAA" * 100_000), TAKEN),
    "a name in 100 pieces": (
        mixed("Content-Type: a/b; " + ";".join(f"name*{n}*=%E2" for n in range(200)) + "\r\n\r\nx"),
        TAKEN,
    ),
    "10,000 parts": (mixed(*["\r\nx"] * 10_000), KEPT),
    "250 parts": (mixed(*["\r\nx"] * 250), TAKEN),
    "many lines in many parts": (nested(45) + b"\r\n" * 200_000, KEPT),
    "600,000 lines": (message("eve@bad.test", b"\n" * 600_000), KEPT),
    "no boundary": (typed("multipart/mixed", "Hello."), TAKEN),
    "an empty boundary": (typed('multipart/mixed; boundary=""', "--\r\n\r\nHello.\r\n----"), TAKEN),
    "a boundary that is not there": (typed("multipart/mixed; boundary=b", "Hello."), TAKEN),
    "a boundary of regular expression": (typed('multipart/mixed; boundary="(a+)+$"', b"--" + b"a" * 50_000), TAKEN),
    "parameters that are slow to read": (mixed("Content-Type: text/plain; " + ';"' * 5_000 + "\r\n\r\nx"), KEPT),
    "parameters in pieces": (
        mixed("Content-Type: a/b; " + ";".join(f"name*{n}*=%41" for n in range(200)) + "\r\n\r\nx"),
        TAKEN,
    ),
    **{
        f"charset {charset!r}": (typed(f"text/plain; charset={charset}", b"Gr\xfc\xdfe " + b"a" * 100_000), TAKEN)
        for charset in ("punycode", "idna", "zip", "hex", "rot13", "undefined", "unicode_escape", "utf-16", "utf-7")
    },
    **{
        f"charset {charset[:20]!r}": (typed(f'text/plain; charset="{charset}"', b"Gr\xfc\xdfe"), TAKEN)
        for charset in ("", "\0", "a\0b", "x" * 2000, "../../etc/passwd", "utf-8\r\n ; x", "ü")
    },
    "base64 that is none": (encoded("base64", "!!!===!" * 1000), TAKEN),
    "quoted-printable that is none": (
        encoded("quoted-printable", "=ZZ=\r\n=="),
        TAKEN,
    ),
    "uuencode that is none": (
        encoded("x-uuencode", "begin 999 x\r\n\xff\xff"),
        TAKEN,
    ),
    "an encoding that is none": (encoded("gzip", "x"), TAKEN),
    "HTML 20,000 deep": (typed("text/html", "<div>" * 20_000 + "x"), KEPT),
    "HTML of brackets": (typed("text/html", "<" * 300_000), TAKEN),
    "HTML of comments": (typed("text/html", "<!--" * 100_000), TAKEN),
    "HTML of attributes": (typed("text/html", "<a " + "x=1 " * 100_000 + ">x"), TAKEN),
    "HTML with entities of its own": (
        typed("text/html", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><p>&e;&#0;&#xd800;&#x202e;</p>'),
        TAKEN,
    ),
    "HTML that says it is UTF-16": (typed("text/html", '<?xml version="1.0" encoding="utf-16"?><p>x</p>'), TAKEN),
    **{
        f"results with many {piece!r}": (
            message(
                "eve@bad.test",
                f"{piece}.",
                authentication_results=f"{SERVER}; dmarc=none {piece * (10**5 // len(piece))}",
            ),
            expected,
        )
        for piece, expected in (
            *((piece, KEPT) for piece in ("(", "\\", "(a\\)")),
            *((piece, TAKEN) for piece in ('"a', "(a)", ";", "header ", "header . from=")),
        )
    },
    "an answer that is slow to cut": (
        message("eve@bad.test", ("2020/1/1 " + " <@" * 2_000 + "\r\n") * 100, subject="Re: x"),
        TAKEN,
    ),
    "an answer of headers": (message("eve@bad.test", "from: x\r\n" * 50_000, subject="Re: x"), TAKEN),
    "an answer of quotes": (message("eve@bad.test", "> " * 100_000, subject="Re: x"), TAKEN),
    "an answer of introductions": (message("eve@bad.test", "On a wrote:\r\n" * 20_000, subject="Re: x"), TAKEN),
    "attachments without end": (mixed(*["Content-Type: a/b; name=x\r\n\r\nx"] * 200), TAKEN),
    "an attachment with a long, turned, climbing name": (
        mixed('Content-Type: a/b; name="../\u202e\x07' + "x" * 2_000 + '"\r\n\r\nx'),
        TAKEN,
    ),
}


@pytest.fixture(autouse=True)
def no_errors_logged(server: Server) -> Iterator[None]:
    """Checks that the server logs no error during the test: every fault of a message is handled."""
    before = len(server.process.log())
    yield
    assert '"level":"ERROR"' not in server.process.log()[before:]


async def handed_in(api: Api, *messages: bytes) -> list[dict[str, Any]]:
    """Ingests the messages in one request; returns their outcomes."""
    variables = {f"m{n}": base64.b64encode(raw).decode() for n, raw in enumerate(messages)}
    declared = ", ".join(f"${name}: String!" for name in variables)
    fields = (
        f"{m}: inboundEmailIngest(input: {{message: {{encoded: ${m}}}}}) {{ outcome reason ticket {{ description }} }}"
        for m in variables
    )
    return list((await api(f"mutation({declared}) {{ {' '.join(fields)} }}", **variables)).values())


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_mail_is_ingested_harmlessly_or_kept_aside(api: Api, database: Database, name: str) -> None:
    raw, expected = HOSTILE[name]
    (taken,) = await handed_in(api, raw)
    assert taken["outcome"] == expected, taken["reason"]
    if expected == KEPT:
        assert (
            await database.fetchval("SELECT raw FROM inbound_messages WHERE reason IS NOT NULL ORDER BY id DESC") == raw
        )
    else:
        assert len(taken["ticket"]["description"]) <= 20_000
    (again,) = await handed_in(api, raw)
    assert again["outcome"] == "DUPLICATE"


async def test_large_hostile_mail_is_ingested_or_kept_aside(database_url: str, tmp_path: Path) -> None:
    """Through the pipe, because such a message is too large for a request."""
    settings = {"env": "production", "database_url": database_url, "jwt_secret": "s" * 48, "data_dir": str(tmp_path)}
    pipe = Pipe(environment(**settings))
    large = (
        (typed("text/html", "<p>x " * 1_000_000), TAKEN),
        (b"From: eve@bad.test\r\n" + b"X: y\r\n" * 1_000_000, KEPT),
    )
    said = await asyncio.gather(*(asyncio.to_thread(pipe.take, raw) for raw, _ in large))
    assert [line.split()[0] for line in said] == [expected for _, expected in large]


GOOD = [
    message("Ann <eve@bad.test>", "Hello.", message_id="<1@bad.test>", subject="=?utf-8?q?T=C3=BCr?="),
    message("eve@bad.test", "Yes.\r\n\r\nOn Monday, Bob wrote:\r\n> No?\r\n", in_reply_to="<1@bad.test>"),
    typed("text/html; charset=utf-8", "<p>Hello <b>there</b></p><blockquote>old</blockquote>"),
    mixed(
        "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nT=FCr",
        "Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+eDwvcD4=",
        "Content-Type: image/png; name*0*=utf-8''a%20; name*1=b.png\r\nContent-Disposition: attachment\r\n\r\nx",
        "Content-Type: message/rfc822\r\n\r\nFrom: a\r\n\r\nx",
    ),
]
PIECES = [
    *(b"\0", b"\r", b"\n", b"\r\n\r\n", b"\t", b" ", b"\xff\xfe", b"\xed\xa0\x80", b"\xe2\x80\xae", b"A" * 2000),
    *(b"?=", b"=?", b"=?utf-8?b?", b"<", b">", b"@", b",", b";", b'"', b"(", b"\\", b"=", b"%", b"''", b"*0*="),
    *(b"--b\r\n", b"--b--", b"boundary=b", b"charset=utf-16\r\n", b"charset=\xff\r\n", b"\r\nFrom: a@b.test\r\n"),
    b"Content-Type: multipart/alternative; boundary=c",
    b"Content-Type: message/delivery-status\r\n\r\n",
    b"Content-Transfer-Encoding: uuencode\r\n",
]


def mutated(drawn: random.Random) -> bytes:
    """Returns a valid message with one to eight random changes."""
    raw = bytearray(drawn.choice(GOOD))
    for _ in range(drawn.randint(1, 8)):
        start = drawn.randrange(len(raw) + 1)
        end = min(len(raw), start + drawn.choice((0, 0, 1, 5, 40)))
        piece = drawn.choice((drawn.choice(PIECES), bytes([drawn.randrange(256)]), bytes(raw[start:end]) * 2, b""))
        raw[start:end] = piece
    return bytes(raw)


@pytest.mark.slow
async def test_randomly_broken_messages_are_neither_lost_nor_harmful(api: Api, database: Database) -> None:
    """A thousand valid messages with random changes; the seed makes a failure reproducible."""
    drawn = random.Random(20_261_124)
    before = await counted(database)
    outcomes: Counter[str] = Counter()
    for _ in range(50):
        taken = await handed_in(api, *(mutated(drawn) for _ in range(20)))
        outcomes.update(each["outcome"] for each in taken)
    assert outcomes.total() == 1_000
    assert min(outcomes["TICKET_CREATED"], outcomes["KEPT_ASIDE"]) > 50
    del outcomes["DUPLICATE"]
    assert await counted(database) - before == outcomes


async def counted(database: Database) -> Counter[str]:
    rows = await database.fetch("SELECT outcome, count(*) AS n FROM inbound_messages GROUP BY outcome")
    return Counter({row["outcome"]: row["n"] for row in rows})
