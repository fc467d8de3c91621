"""The charsets of mail, as browsers read them, and what software writes instead of declaring them."""

# ruff: noqa: RUF001 (letters of other scripts are what these tests are about)

from __future__ import annotations

import base64

import pytest

from notifiers.inbound.charsets import declared_in_html, decoded
from notifiers.inbound.encoded_words import decoded_line


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        (b"The \x93panel\x94 isn\x92t cheap: 200 \x80", "iso-8859-1", "The “panel” isn’t cheap: 200 €"),
        (b"\x80 \xfd\xfe", "ISO-8859-9", "€ ış"),
        ("陶喆".encode("gbk"), "gb2312", "陶喆"),
        (b"\x80" + "您好".encode("gbk"), "gbk", "€您好"),
        ("똠방각하".encode("cp949"), "ks_c_5601-1987", "똠방각하"),
        ("똠방각하".encode("cp949"), "euc-kr", "똠방각하"),
        ("①㈱∑纊".encode("cp932"), "shift_jis", "①㈱∑纊"),
        (b"\xad\xa1\xad\xea\xb7\xd9", "euc-jp", "①㈱警"),
        (b"\x1b$B7YJs-!E@Et-j\x1b(B", "iso-2022-jp", "警報①点灯㈱"),
        (b"\x1b(I123\x1b(J\\~\x1b(B\\~", "iso-2022-jp", "ｱｲｳ¥‾\\~"),
        ("鄧".encode("iso2022_jp_2"), "ISO-2022-JP", "鄧"),
        ("テスト".encode("cp932"), "iso-2022-jp", "テスト"),
        ("안녕".encode("iso2022_kr"), "iso-2022-kr", "안녕"),
        ("你好".encode("hz"), "hz-gb-2312", "你好"),
        ("שלום".encode("cp1255"), "iso-8859-8-i", "שלום"),
        ("€ 好".encode("cp950"), "big5", "€ 好"),
        ("Grüße".encode(), "unicode-1-1-utf-8", "Grüße"),
        (b"Gr+APwA3w-e", "utf-7", "Grüße"),
        (b"Gr+APwA3w-e", "unicode-1-1-utf-7", "Grüße"),
        ("Türe".encode("cp850"), "cp850", "Türe"),  # a charset of Python's alone
        (b"T\xfcre defekt", "x-user-defined", "Türe defekt"),  # Outlook's word for none
        *(("Türe".encode(f"utf-16-{order}"), "utf-16", "Türe") for order in ("le", "be")),
        ("日本".encode("utf-16"), "utf-16be", "日本"),  # the byte order mark counts
        (b"\xef\xbb\xbfT\xc3\xbcre", "windows-1252", "Türe"),
    ],
)
def test_charsets_are_those_of_browsers(data: bytes, charset: str, text: str) -> None:
    assert decoded(data, charset) == text


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        (
            "Türe defekt, Gerät pfeift. ".encode() + b"\xfc" + " Grüße".encode(),
            "utf-8",
            "Türe defekt, Gerät pfeift. � Grüße",
        ),
        ("您好".encode("gbk") + b"\xff" + "报警器在响".encode("gbk"), "gb2312", "您好�报警器在响"),
        ("警報器が鳴る".encode("cp932") + b"\x81 x", "shift_jis", "警報器が鳴る� x"),
        ("警報器が鳴る".encode("euc_jp") + b"\xfd\xfd" + "警報".encode("euc_jp"), "euc-jp", "警報器が鳴る�警報"),
        ("Привет".encode("cp1251") + b"\x98" + "мир".encode("cp1251"), "windows-1251", "Привет�мир"),
        ("日本語".encode()[:-1], "utf-8", "日本�"),  # cut off within a character
        ("x��".encode(), "utf-8", "x��"),  # spoilt by the sender
    ],
)
def test_a_bad_byte_spoils_one_character(data: bytes, charset: str, text: str) -> None:
    assert decoded(data, charset) == text


LETTERS = {
    "Bonjour, la sirène de l'étage ne s'arrête plus, Hélène": ["cp1252", "iso8859-15"],
    "Dzień dobry, czujnik dymu w kuchni włącza się, proszę o przysłanie technika": ["cp1250", "iso8859-2"],
    "Здравствуйте, датчик дыма на кухне срабатывает без причины": ["cp1251", "koi8-r", "iso8859-5"],
    "Καλημέρα, ο συναγερμός στο ισόγειο χτυπάει συνέχεια": ["cp1253"],
    "Merhaba, mutfaktaki duman dedektörü sebepsiz yere çalışıyor": ["cp1254"],
    "שלום, האזעקה בקומת הקרקע מצפצפת כל הזמן": ["cp1255"],
    "مرحبا، جهاز الإنذار في الطابق الأرضي يصفر باستمرار": ["cp1256"],
    "สวัสดีครับ สัญญาณกันขโมยชั้นล่างดังตลอดเวลา": ["cp874"],
    "お世話になっております。一階の警報器が鳴り続けています": ["cp932", "euc_jp", "iso2022_jp"],
    "您好，一楼的报警器一直在响，请尽快派人来检查": ["gb18030"],
    "您好，一樓的警報器一直在響，請儘快派人來檢查": ["big5"],
    "안녕하세요, 일층 경보기가 계속 울리고 있습니다": ["cp949"],
    "café Zoë": ["cp1252"],
    "Türe defekt": ["cp1252"],
}


@pytest.mark.parametrize(("text", "charset"), [(text, charset) for text in LETTERS for charset in LETTERS[text]])
@pytest.mark.parametrize("declared", [None, "us-ascii", "no-such-charset", "utf-8"])
def test_a_missing_or_wrong_declaration_is_detected(text: str, charset: str, declared: str | None) -> None:
    if charset != "iso2022_jp" or declared != "utf-8":  # which it is valid in
        assert decoded(text.encode(charset), declared) == text


@pytest.mark.parametrize("declared", [None, "us-ascii", "iso-8859-1", "windows-1251", "gb2312", "utf-8"])
def test_utf_8_is_recognised_under_any_declaration(declared: str | None) -> None:
    assert decoded("Привет мир".encode(), declared) == "Привет мир"


@pytest.mark.parametrize(
    ("html", "charset"),
    [
        (b'<meta http-equiv="Content-Type" content="text/html; charset=windows-1250">', "windows-1250"),
        (b"<html><head><META  charset = 'KOI8-R' />", "KOI8-R"),
        (b'<?xml version="1.0" encoding="shift_jis"?><html>', "shift_jis"),
        (b'<meta charset="utf-16le">', "utf-8"),
        (b'<meta name="x" content="y"><p>charset=koi8-r', None),
        (b" " * 5_000 + b"<meta charset=koi8-r>", None),
    ],
)
def test_html_declares_its_charset(html: bytes, charset: str | None) -> None:
    assert declared_in_html(html) == charset


def raw(text: bytes) -> str:
    """Returns the header as the parser passes it on."""
    return text.decode("ascii", "surrogateescape")


HALVES = "日本語".encode()[:4], "日本語".encode()[4:]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (raw(b"T\xfcre defekt"), "Türe defekt"),
        (raw("Türe defekt".encode()), "Türe defekt"),
        (raw("Тревога на складе".encode("koi8-r")), "Тревога на складе"),
        (raw(b"=?iso-8859-1?Q?T\xfcre?= defekt, T\xfcr 3"), "Türe defekt, Tür 3"),
        (raw(b"\x1b$B7YJs\x1b(B"), "警報"),
        (" ".join(f"=?utf-8?B?{base64.b64encode(half).decode()}?=" for half in HALVES), "日本語"),
        ("=?utf-8?q?=F0=9F?=\r\n =?UTF-8?Q?=98=80?=", "😀"),
        ("=?gb2312?B?zNXG?= =?gb2312?B?qw==?=", "陶偏"),
        ("=?utf-8?q?a?= =?iso-8859-1?q?=80?=", "a€"),
        ("=?iso-2022-jp?B?GyRCN1lKcy0hGyhC?=", "警報①"),
        ("=?utf-8*de?Q?T=C3=BCre?=", "Türe"),  # with a language
        ("=?utf-8?Q?T=C3=BCre defekt?=", "Türe defekt"),  # with a blank
        ("=?utf-8?Q?T=C3=BCre", "Türe"),  # without an end
        ("a=?utf-8?Q?=C3=BC?=b", "aüb"),  # within a word
        ("=?utf-8?Q?100=_sure?=", "100= sure"),
        ("=?us-ascii?Q?=C3=BC?=", "ü"),
        ("=?x?y?z?= \\u12", "=?x?y?z?= \\u12"),
    ],
)
def test_broken_and_raw_headers_are_read(written: str, shown: str) -> None:
    assert decoded_line(written, 200) == shown
