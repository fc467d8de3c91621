"""`searchable_form`: texts that people take for the same are the same, and others stay different."""

from __future__ import annotations

import random
import sys
import unicodedata

import pytest

from tests.helpers.database_checks import Database

SAME = [
    ("Hélène", "He\u0301le\u0300ne", "helene", "HELENE", "Ｈｅｌｅｎｅ"),  # noqa: RUF001
    ("Café Zoë", "cafe zoe", "CAFÉ  ZOË", "Cafe\u0301\u00a0Zoe\u0308", " café\tzoë\n"),
    ("O'Brien", "O’Brien", "O‘Brien", "OʼBrien", "O′Brien", "O`Brien", "O´Brien", "o＇brien", "OBrien"),  # noqa: RUF001
    ("Straße", "STRASSE", "strasse", "STRAẞE"),
    ("İstanbul", "Istanbul", "istanbul", "ıstanbul", "ISTANBUL", "i\u0307stanbul"),  # noqa: RUF001
    ("Łódź", "Lodz", "ŁÓDŹ", "lo\u0301dz"),
    ("Ærø Ølgård Þór Œuvre", "aero olgard thor oeuvre", "ÆRØ ØLGÅRD ÞÓR ŒUVRE"),
    ("Đoković", "dokovic", "ĐOKOVIĆ"),
    ("ΟΔΟΣ Δρόμος", "οδος δρομος", "οδοσ ΔΡΟΜΟΣ"),
    ("Фёдор Зайцев", "ФЕДОР ЗАИЦЕВ", "фе\u0308дор зайцев"),  # noqa: RUF001
    ("カメラ", "ｶﾒﾗ"),
    ("ガス", "ｶﾞｽ", "カ\u3099ス"),
    ("한글", unicodedata.normalize("NFD", "한글")),
    ("TKT-ABC234", "tkt‑abc234", "TKT–ABC234", "TKT—ABC234", "TKT−ABC234", "ＴＫＴ－ＡＢＣ２３４"),  # noqa: RUF001
    ("ab cd", "a\u200bb c\u00add", "\ufeffab\u202fcd\u200e", "ab\u3000cd", "ab\u2003cd", "ab\u2028cd"),
    (
        'the "north" door',
        "the “north” door",
        "the „north“ door",
        "the «north» door",
        "The (North) door",
        "the north, door",
    ),
    ("ﬁlter 2 ①", "filter 2 1", "FILTER ² 1"),
    ("لوحة الإنذار", "لوحة الانذار", "لَوْحَة الإنذار"),
    ("0613", "٠٦١٣", "۰۶۱۳"),
]
DIFFERENT = [
    ("カ", "ガ"),
    ("keypad-north", "keypad north", "keypadnorth"),
    ("100%", "100", "1000"),
    ("a_b", "a b", "ab"),
    ("12.5", "125"),
    ("สี", "สา"),
    ("कि", "का", "क"),
    ("ü", "y", "v"),
]


async def forms_of(database: Database, texts: list[str]) -> list[str]:
    rows = await database.fetch(
        "SELECT searchable_form(text) AS form FROM unnest($1::text[]) WITH ORDINALITY AS each (text, n) ORDER BY n",
        texts,
    )
    return [row["form"] for row in rows]


@pytest.mark.parametrize("texts", SAME, ids=lambda texts: texts[0])
async def test_texts_that_people_take_for_the_same_are_the_same(database: Database, texts: tuple[str, ...]) -> None:
    assert len(set(await forms_of(database, list(texts)))) == 1


@pytest.mark.parametrize("texts", DIFFERENT, ids=lambda texts: texts[0])
async def test_other_texts_stay_different(database: Database, texts: tuple[str, ...]) -> None:
    assert len(set(await forms_of(database, list(texts)))) == len(texts)


async def test_any_text_has_one_form_whatever_its_case_and_unicode_form(database: Database) -> None:
    """The form of a form is itself, and it has single blanks inside."""
    pick = random.Random(24)
    every = [chr(point) for point in range(1, sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
    common = [char for char in every[:0x3100] if unicodedata.category(char) != "Cn"]
    texts = [
        "".join(pick.choices(pick.choice((every, common, common[:0x250])), k=pick.randint(1, 12))) for _ in range(5_000)
    ]
    forms = await forms_of(database, texts)
    assert await forms_of(database, forms) == forms
    for name in ("NFC", "NFD"):
        assert await forms_of(database, [unicodedata.normalize(name, text) for text in texts]) == forms
    lowered = await database.fetch("SELECT lower(text) AS text FROM unnest($1::text[]) AS text", texts)
    assert await forms_of(database, [row["text"] for row in lowered]) == forms
    assert all(text == " ".join(text.split(" ")) for text in forms)


@pytest.mark.parametrize(
    ("phone", "digits"),
    [
        ("+1 613-555-1234", "16135551234"),
        ("(613) 555-1234 ext. 12", "6135551234"),
        ("613.555.1234x12", "6135551234"),
        ("+1;613", "1"),
        ("tel. 613 555", "613555"),
        ("٦١٣", "613"),
        ("none", ""),
    ],
)
async def test_a_phone_number_is_its_digits_without_an_extension(database: Database, phone: str, digits: str) -> None:
    assert await database.fetchval("SELECT search_digits($1)", phone) == digits


@pytest.mark.parametrize(
    ("term", "patterns"),
    [
        ("panel  Beeping", ["%beeping%", "%panel%"]),
        ("door DOOR", ["%door%"]),
        ("[TKT-ABC234]", ["%tkt-abc234%"]),
        ("unit #4, “north” Ω", ["%north%", "%unit%", "% 4%", "%ω%"]),
        ("100% a_b c\\d ?", ["%100\\%%", "%a\\_b%", "%c\\\\d%", "%?%"]),
        ("4", ["%4%"]),
        ("Really?!", ["%really%"]),
        ("' \u200b", ["%'%", "%\u200b%"]),
    ],
)
async def test_a_term_becomes_a_pattern_for_each_word(database: Database, term: str, patterns: list[str]) -> None:
    assert await database.fetchval("SELECT search_patterns($1)", term) == patterns
