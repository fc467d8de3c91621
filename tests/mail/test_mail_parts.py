"""The parts of a message as mail programs write them: what a reader sees of them, and which are files."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import pytest

from notifiers.inbound.parts import Content, content
from notifiers.inbound.plain_text import unflowed

PLAIN, HTML = "Content-Type: text/plain\r\n\r\nIt beeps.", "Content-Type: text/html\r\n\r\n<p>It beeps.</p>"
PDF = "Content-Type: application/pdf; name=panel.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0="
PHOTO = 'Content-Type: image/png; name="a.png"\r\nContent-ID: <a>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw=='


def multipart(*parts: str, kind: str = "mixed", boundary: str = "b", end: bool = True) -> str:
    """Returns a multipart with its header."""
    body = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + (f"--{boundary}--\r\n" if end else "")
    return f"Content-Type: multipart/{kind}; boundary={boundary}\r\n\r\n{body}"


def read(part: str | bytes) -> Content:
    return content(part.encode() if isinstance(part, str) else part)


def shown(part: str | bytes) -> str:
    found = read(part)
    return found.plain or found.html


def files(part: str | bytes) -> list[tuple[str, str, bytes]]:
    return [(file.name, file.content_type, file.data) for file in read(part).files]


def typed(content_type: str, body: bytes, **fields: str) -> bytes:
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"Content-Type: {content_type}\r\n{head}\r\n".encode() + body


def packed(content_type: str, body: bytes) -> bytes:
    return typed(content_type, base64.encodebytes(body), content_transfer_encoding="base64")


# Structures


def test_files_within_the_html_alternative_are_files() -> None:
    """Apple Mail puts them there."""
    apple = multipart(PLAIN, multipart(HTML, PDF, boundary="in"), kind="alternative")
    found = read(apple)
    assert (found.plain, found.html) == ("It beeps.", "<p>It beeps.</p>")
    assert files(apple) == [("panel.pdf", "application/pdf", b"%PDF-")]


@pytest.mark.parametrize(
    ("part", "plain", "names"),
    [
        (
            multipart(multipart(PLAIN, HTML, kind="alternative", boundary="in"), PHOTO, kind="related"),
            "It beeps.",
            ["a.png"],
        ),
        (multipart(PLAIN, PHOTO, "Content-Type: text/plain\r\n\r\nSee above."), "It beeps.\n\nSee above.", ["a.png"]),
        (multipart(PLAIN, HTML, PHOTO), "It beeps.\n\nIt beeps.", ["a.png"]),
        (multipart(PLAIN, PDF, end=False), "It beeps.", ["panel.pdf"]),
        (
            multipart(PLAIN, "Content-Type: text/plain\r\n\r\nAll day.", PLAIN, kind="alternative"),
            "It beeps.\n\nAll day.",
            [],
        ),
        (
            multipart(PLAIN, "Content-Type: text/x-amp-html\r\n\r\n<html amp4email>", kind="alternative"),
            "It beeps.",
            [],
        ),
        (multipart(multipart(PLAIN, boundary="in", end=False), PDF), "It beeps.", ["panel.pdf"]),  # wrong nesting
        (multipart(PLAIN, PDF).replace("boundary=b", "boundary=other"), "It beeps.", ["panel.pdf"]),
        (multipart(PLAIN, PDF).replace("; boundary=b", ""), "It beeps.", ["panel.pdf"]),
        ("Content-Type: text\r\n\r\nIt beeps.", "It beeps.", []),
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\r\n--b--\r\nIt beeps.", "It beeps.", []),
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\nIn MIME format.\r\n--b\r\n\r\n\r\n--b--", "", []),
        ("Content-Type: text/markdown\r\n\r\n*It beeps.*", "*It beeps.*", []),
        ("Content-Type: text/enriched\r\n\r\n<bold>It</bold>\r\nbeeps.\r\n\r\n<<Loud", "It beeps.\n<Loud", []),
        (
            "Content-Type: text/rtf\r\n\r\n{\\rtf1\\ansi{\\fonttbl{\\f0 Arial;}}It \\b beeps\\b0.\\par Loud"
            "\\'e9\\u8364?}",
            "It beeps.\nLoudé€",
            [""],
        ),
        (multipart(PLAIN, "Content-Type: text/csv\r\n\r\na,b"), "It beeps.", [""]),
        (multipart(PLAIN, "Content-Type: text/vcard\r\n\r\nBEGIN:VCARD"), "It beeps.", [""]),
    ],
)
def test_parts_are_read_in_order(part: str, plain: str, names: list[str]) -> None:
    found = read(part)
    assert (found.plain, [file.name for file in found.files], found.remarks) == (plain, names, ())


def test_a_text_declared_as_a_file_is_read_if_there_is_no_other() -> None:
    attached = "Content-Type: text/html; name=mail.html\r\nContent-Disposition: attachment\r\n\r\n<p>It beeps.</p>"
    assert read(multipart(attached, PDF)).html == "<p>It beeps.</p>"
    assert read(multipart("Content-Type: text/plain\r\n\r\n \r\n", attached)).html == "<p>It beeps.</p>"
    assert read(multipart(PLAIN, attached)).html == ""
    assert [name for name, *_ in files(multipart(attached, PDF))] == ["mail.html", "panel.pdf"]


@pytest.mark.parametrize(
    ("plain", "html", "kept"),
    [
        ("Your email client does not support HTML messages", "<p>The siren does not stop, serial 99-1234.</p>", ""),
        ("Diese Nachricht ist im HTML-Format.", "<p>Die Sirene hört nicht auf.</p>", ""),
        ("View this message in your browser: https://x.test/1", "<p>The siren does not stop.</p>", ""),
        (" \r\n\t", "<p>The siren does not stop.</p>", ""),
        ("The siren does", "<p>The siren does not stop, and nobody in the house can sleep.</p>", ""),
        ("The siren does not stop.", "<p>The siren does not stop.</p>", "The siren does not stop."),
        ("My HTML page is down", "<p>My HTML page is <b>down</b></p>", "My HTML page is down"),
        (
            "See https://x.test/1 about the siren.",
            '<p><a href="https://x.test/1">See</a> about the siren.</p>',
            "See https://x.test/1 about the siren.",
        ),
    ],
)
def test_a_plain_form_that_lacks_the_text_is_not_used(plain: str, html: str, kept: str) -> None:
    plain_part, html_part = (
        f"Content-Type: text/plain\r\n\r\n{plain}",
        f"Content-Type: text/html; charset=utf-8\r\n\r\n{html}",
    )
    found = read(multipart(plain_part, html_part, kind="alternative"))
    assert (found.plain, found.html) == (kept, html)


def test_flowed_text_is_joined() -> None:
    """RFC 3676, with its examples of quotes and signatures."""
    flowed = "It beeps \r\nall day.\r\n> Since \r\n> when?\r\n>> x \r\n> y\r\n \r\n-- \r\nAnn \r\nBell\r\n"
    found = read(typed("text/plain; format=flowed", flowed.encode()))
    assert found.plain == "It beeps all day.\n> Since when?\n>> x \n> y\n\n-- \nAnn Bell"
    assert unflowed("日本 \n語", delete_space=True) == "日本語"
    assert read(typed("text/plain; format=flowed; delsp=yes", "日本 \r\n語".encode())).plain == "日本語"
    assert read(typed("text/plain", b"It beeps \r\nall day.")).plain == "It beeps \nall day."


def test_images_within_html_are_files() -> None:
    html = b"<p>See</p><img src=\"data:image/png;base64,iVBO\r\nRw==\"><img src='cid:a'>"
    found = read(typed("text/html", html))
    assert (found.html, files(typed("text/html", html))) == (
        "<p>See</p><img src=\"\"><img src='cid:a'>",
        [("", "image/png", b"\x89PNG")],
    )


# Messages in messages


def test_a_forwarded_message_is_shown_and_is_a_file_with_its_own_files() -> None:
    inner = "From: Bob <bob@bell.test>\r\nSubject: =?utf-8?q?T=C3=BCr?=\r\n" + multipart(PLAIN, PDF, boundary="in")
    for part in (
        f"Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename=siren.eml\r\n\r\n{inner}",
        "Content-Type: message/rfc822; name=siren.eml\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(inner.encode()).decode(),
    ):
        found = read(multipart("Content-Type: text/plain\r\n\r\nSee this.", part))
        assert found.plain == (
            "See this.\n\n---------- Forwarded message ----------\nFrom: Bob <bob@bell.test>\nSubject: Tür\n\nIt beeps."
        )
        assert [(file.name, file.data.strip()) for file in found.files] == [
            ("siren.eml", inner.strip().encode()),
            ("panel.pdf", b"%PDF-"),
        ]


def test_a_digest_has_messages() -> None:
    found = read(multipart("\r\nSubject: One\r\n\r\nFirst.", "\r\nSubject: Two\r\n\r\nSecond.", kind="digest"))
    assert "Subject: One\n\nFirst." in found.plain
    assert "Subject: Two\n\nSecond." in found.plain


# What a file name may look like


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ("Content-Disposition: attachment; filename*=utf-8''%e2%82%ac%20rates.pdf", "€ rates.pdf"),
        ("Content-Disposition: attachment; filename*0*=utf-8''%e2%82; filename*1*=%ac; filename*2=.pdf", "€.pdf"),
        ("Content-Disposition: attachment; filename*1=b.pdf; filename*0=a", "ab.pdf"),
        ("Content-Disposition: attachment; filename*=\"iso-8859-1''T%FCr.pdf\"", "Tür.pdf"),
        ("Content-Disposition: attachment; filename*=T%C3%BCr.pdf", "Tür.pdf"),
        ("Content-Disposition: attachment; filename=old.pdf; filename*=utf-8''T%C3%BCr.pdf", "Tür.pdf"),
        ('Content-Disposition: attachment; filename="=?utf-8?B?w5xi?= =?utf-8?B?ZXIucGRm?="', "Über.pdf"),
        ("Content-Disposition: attachment; filename==?utf-8?B?w5xiZXIucGRm?=", "Über.pdf"),
        ("Content-Disposition: attachment; filename=my photo.pdf; size=3", "my photo.pdf"),
        ('Content-Disposition: attachment; filename="open.pdf', "open.pdf"),
        ('Content-Disposition: attachment; filename="C:\\Users\\ann\\a.pdf"', "a.pdf"),
        ('Content-Disposition: attachment; filename="../../etc/passwd"', "passwd"),
        ('Content-Disposition: attachment; filename="a;\\"b\\".pdf"', 'a;"b".pdf'),
        ("Content-Disposition: attachment; filename=Tür.pdf", "Tür.pdf"),
        ("Content-Type: application/pdf; name=a.pdf\r\nContent-Disposition: inline", "a.pdf"),
    ],
)
def test_file_names_are_read_however_sloppy(fields: str, name: str) -> None:
    assert files(multipart(PLAIN, f"{fields}\r\n\r\nx"))[0][0] == name


# Files in texts


DATA = bytes(range(256)) * 3
UUENCODED = (
    b"begin 644 a.bin\n" + b"".join(binascii.b2a_uu(DATA[at : at + 45]) for at in range(0, 768, 45)) + b"`\nend\n"
)
YENC_ESCAPED = {(byte + 42) % 256 for byte in range(256)} & {0, 10, 13, 61}
YENC = (
    b"=ybegin line=999 size=768 name=a.bin\r\n"
    + b"".join(
        bytes((61, (byte + 106) % 256)) if (byte + 42) % 256 in YENC_ESCAPED else bytes(((byte + 42) % 256,))
        for byte in DATA
    )
    + b"\r\n=yend size=768\r\n"
)


@pytest.mark.parametrize("written", [UUENCODED, UUENCODED.replace(b"\n", b"\r\n"), UUENCODED[:-6], YENC])
def test_files_in_the_text_are_files(written: bytes) -> None:
    found = read(typed("text/plain", b"Log attached.\r\n\r\n" + written))
    assert found.plain.strip() == "Log attached."
    assert [(file.name, file.data) for file in found.files] == [("a.bin", DATA)]


@pytest.mark.parametrize(
    "text", ["begin 644 x\n`\nend", "begin 100 times\nOr more.", "begin 644 x\nCALL ME\nAnn", "=ybegin name=x\nfoo"]
)
def test_text_that_looks_like_a_file_stays(text: str) -> None:
    found = read(typed("text/plain", text.encode()))
    assert (found.plain, found.files) == (text, ())


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"SXQgYmVlcHMu", "It beeps."),
        (b"SXQg\r\nYmVlcHMu\r\n-- \r\nSent to the list of friends\r\n", "It beeps."),  # a footer
        (b"SXQgYmVlcHMu ignored", "It beeps."),
        (b"SXQg!YmVlcHMu", "It beeps."),
        (b"SXQ=\r\nIGJlZXBz\r\nLg==", "It beeps."),  # encoded in pieces
        (b"SXQgYmVlcHM", "It beeps"),
        (b"It really beeps, all day.", "It really beeps, all day."),  # not encoded at all
    ],
)
def test_broken_base64_is_read(body: bytes, text: str) -> None:
    assert read(typed("text/plain", body, content_transfer_encoding="BASE64 ")).plain == text


# Formats of other programs


def attribute(level: int, number: int, value: bytes) -> bytes:
    return bytes((level,)) + number.to_bytes(2, "little") + b"\6\0" + len(value).to_bytes(4, "little") + value + b"\0\0"


def properties(*given: tuple[int, int, bytes]) -> bytes:
    """Returns MAPI properties from their tags, types and values."""
    found = len(given).to_bytes(4, "little")
    for tag, kind, value in given:
        size = b"\1\0\0\0" + len(value).to_bytes(4, "little")
        found += kind.to_bytes(2, "little") + tag.to_bytes(2, "little") + size + value + bytes(-len(value) % 4)
    return found


NAMED = properties((0x3707, 0x1F, "tür.bin".encode("utf-16-le")))
WINMAIL = (
    b"\x78\x9f\x3e\x22\1\0"
    + attribute(1, 0x9007, (1250).to_bytes(4, "little"))
    + attribute(1, 0x800C, "Drzwi są".encode("cp1250") + b"\0")
    + attribute(2, 0x9002, bytes(14))
    + attribute(2, 0x8010, b"T_R~1.BIN\0")
    + attribute(2, 0x800F, DATA + b"\0\0")
    + attribute(2, 0x9005, NAMED)
)


def test_winmail_dat_is_unpacked() -> None:
    winmail = packed("application/ms-tnef; name=winmail.dat", WINMAIL)
    found = read(winmail)
    assert (found.plain, found.remarks) == ("Drzwi są", ())
    assert files(winmail) == [("tür.bin", "application/octet-stream", DATA + b"\0\0")]  # with the zeros at its end


def test_the_text_in_winmail_dat_is_used_if_there_is_no_other() -> None:
    winmail = packed("application/octet-stream; name=winmail.dat", WINMAIL).decode()
    assert shown(multipart(PLAIN, winmail)) == "It beeps."
    assert shown(multipart("Content-Type: text/plain\r\n\r\n \r\n", winmail)) == "Drzwi są"


def test_html_and_compressed_rtf_in_winmail_dat_are_read() -> None:
    html = properties((0x1013, 0x102, "<p>Türe</p>".encode()), (0x3FDE, 3, b""))
    html = html[:-8] + (65001).to_bytes(4, "little")
    winmail = b"\x78\x9f\x3e\x22\1\0" + attribute(1, 0x9003, html)
    assert shown(packed("application/ms-tnef", winmail)) == "<p>Türe</p>"
    rtf = bytes(8) + b"LZFu" + bytes(4) + b"\0{\\rtf1 I\0t beeps.\0}       "
    winmail = b"\x78\x9f\x3e\x22\1\0" + attribute(1, 0x9003, properties((0x1009, 0x102, rtf)))
    assert shown(packed("application/ms-tnef", winmail)) == "It beeps."


@pytest.mark.parametrize("broken", [WINMAIL[:35], b"", b"PK\3\4", WINMAIL[:6]])
def test_a_broken_winmail_dat_is_a_file_with_a_remark(broken: bytes) -> None:
    winmail = packed("application/ms-tnef", broken)
    assert read(winmail).remarks == ("(The message has a winmail.dat, which could not be read.)",)
    assert files(winmail) == [("winmail.dat", "application/ms-tnef", broken)]


INVITATION = """\
BEGIN:VCALENDAR
VERSION:2.0
METHOD:{method}
BEGIN:VEVENT
UID:1
SUMMARY:Wartung\\, Zentrale
DTSTART;{start}
DTEND;{end}
LOCATION:Haus 5
ATTENDEE;PARTSTAT=ACCEPTED:mailto:ann@bell.test
END:VEVENT
END:VCALENDAR
"""


@pytest.mark.parametrize(
    ("method", "start", "end", "lines"),
    [
        (
            "REQUEST",
            "TZID=Europe/Berlin:20261201T100000",
            "TZID=Europe/Berlin:20261201T113000",
            "Invitation: Wartung, Zentrale\nWhen: Tue 01 Dec 2026, 10:00 Europe/Berlin to "
            "Tue 01 Dec 2026, 11:30 Europe/Berlin\nWhere: Haus 5",
        ),
        (
            "CANCEL",
            "VALUE=DATE:20261201",
            "VALUE=DATE:20261202",
            "Cancelled appointment: Wartung, Zentrale\nWhen: Tue 01 Dec 2026 to Wed 02 Dec 2026\nWhere: Haus 5",
        ),
        (
            "REPLY",
            "X=Y:20261201T100000Z",
            "X=Y:20261201T103000Z",
            "Answer to an invitation: Wartung, Zentrale\nWhen: Tue 01 Dec 2026, 10:00 UTC to "
            "Tue 01 Dec 2026, 10:30 UTC\nWhere: Haus 5\nAnswer: accepted",
        ),
    ],
)
def test_an_invitation_is_shown_and_is_a_file(method: str, start: str, end: str, lines: str) -> None:
    calendar = INVITATION.format(method=method, start=start, end=end)
    part = f"Content-Type: text/calendar; charset=utf-8; method={method}\r\n\r\n{calendar}"
    attached = f"Content-Type: application/ics; name=invite.ics\r\n\r\n{calendar}"
    found = read(multipart(multipart(PLAIN, HTML, part, kind="alternative", boundary="in"), attached))
    assert found.plain == f"It beeps.\n\n{lines}"
    assert [file.name for file in found.files] == ["invitation.ics", "invite.ics"]
    assert shown(part) == lines


@pytest.mark.parametrize("calendar", ["", "BEGIN:VCALENDAR", "x", "BEGIN:VCALENDAR\r\nEND:VEVENT"])
def test_a_broken_invitation_is_a_file(calendar: str) -> None:
    found = read(multipart(PLAIN, f"Content-Type: text/calendar\r\n\r\n{calendar}"))
    assert (found.plain, [file.name for file in found.files]) == ("It beeps.", ["invitation.ics"])


def der(tag: int, *contents: bytes) -> bytes:
    joined = b"".join(contents)
    return bytes((tag, 0x82)) + len(joined).to_bytes(2) + joined


def ber(tag: int, *contents: bytes) -> bytes:
    return bytes((tag, 0x80)) + b"".join(contents) + b"\0\0"


ID_DATA, ID_SIGNED, ID_ENVELOPED = (bytes.fromhex(f"06092a864886f70d0107{n}") for n in ("01", "02", "03"))
TEXT = b"Content-Type: text/plain\r\n\r\nIt beeps."


@pytest.mark.parametrize(
    "signed",
    [
        der(0x30, ID_SIGNED, der(0xA0, der(0x30, b"\2\1\1", der(0x31), der(0x30, ID_DATA, der(0xA0, der(4, TEXT)))))),
        ber(
            0x30,
            ID_SIGNED,
            ber(
                0xA0,
                ber(
                    0x30,
                    b"\2\1\1",
                    der(0x31),
                    ber(0x30, ID_DATA, ber(0xA0, ber(0x24, der(4, TEXT[:9]), der(4, TEXT[9:])))),
                ),
            ),
        ),
    ],
)
def test_an_opaque_signature_is_unwrapped(signed: bytes) -> None:
    for kind in ("application/pkcs7-mime; smime-type=signed-data", "application/octet-stream; name=smime.p7m"):
        found = read(packed(kind, signed))
        assert (found.plain, found.files, found.remarks) == ("It beeps.", (), ())


def test_encrypted_messages_say_so() -> None:
    smime = packed("application/pkcs7-mime; name=smime.p7m", der(0x30, ID_ENVELOPED, der(0xA0)))
    armour = "-----BEGIN PGP MESSAGE-----\n\nabc\n-----END PGP MESSAGE-----\n"
    control = "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1"
    secret = f"Content-Type: application/octet-stream; name=encrypted.asc\r\n\r\n{armour}"
    for part, kind, name in (
        (smime, "S/MIME", "smime.p7m"),
        (multipart(control, secret, kind="encrypted"), "PGP", "encrypted.asc"),
        (typed("text/plain", armour.encode()), "PGP", "encrypted.asc"),
    ):
        found = read(part)
        assert found.plain.strip() == ""
        assert found.remarks == (
            f"(The message, or a part of it, is encrypted with {kind}, so it cannot be read here.)",
        )
        assert found.files[-1].name == name


def test_clear_signatures_are_taken_off() -> None:
    armoured = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nIt beeps.\n- -- \nAnn\n"
        "-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
    )
    assert read(typed("text/plain", armoured.encode())).plain == "It beeps.\n-- \nAnn"
    signature = "Content-Type: application/pkcs7-signature; name=smime.p7s\r\n\r\nabc"
    assert read(multipart(PLAIN, signature, kind="signed")).plain == "It beeps."


# Bounds


def test_files_and_texts_are_bounded() -> None:
    found = read(multipart(PLAIN, *[PDF] * 120))
    assert (len(found.files), found.remarks) == (
        100,
        ("(The message has more than 100 files; the others were left out.)",),
    )
    found = read(multipart(*["Content-Type: text/plain\r\n\r\n" + "x" * 400_000] * 3))
    assert len(found.plain) == 1_000_004
    assert found.remarks == ("(The message has more text than 1 MB; only the beginning was read.)",)


def test_libraries_for_rare_parts_are_imported_only_for_them() -> None:
    """`callout mail-in` starts for each message."""
    for path in (Path(__file__).parents[2] / "notifiers/inbound").glob("*.py"):
        top = [line for line in path.read_text().splitlines() if line.startswith(("import ", "from "))]
        assert not [line for line in top if "icalendar" in line or "chardet" in line], path
