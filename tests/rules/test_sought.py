"""What identifies a person is found in free text, however it is written, and nothing else is."""

from __future__ import annotations

import base64
import quopri
import re

import pytest

from db.erasure.mail import readable
from db.erasure.sought import Sought

ANN = Sought.of(
    names=["Ann Bell", "Zoë Bell"],
    emails=["ann@bell.test"],
    phones=["+1 (613) 555-0147 ext 12"],
    texts=["C-000123", "12 Elm Street, Ottawa"],
)
LI = Sought.of(names=["Li", "X"], phones=["1", "911"], texts=["A.C+[1]\\"])

CASES = [
    (ANN, "Dear ANN  BELL,", "Dear -,"),
    (ANN, "Ann\nBell", "-"),
    (ANN, "Bell, Ann (owner)", "- (owner)"),
    (ANN, "Ann Bellows, Joann Bell", "Ann Bellows, Joann Bell"),
    (ANN, "ZOE\u0308 BELL, zoë bell", "-, -"),
    (ANN, "<Ann@Bell.test>, mailto:ann@bell.test.", "<->, mailto:-."),
    (ANN, "joann@bell.test, first.ann@bell.test, ann@bell.test.example", None),
    (ANN, "613-555-0147, 613.555.0147, 6135550147", "-, -, -"),
    (ANN, "+1 613 555 0147, 001-613-555-0147, 1 (613) 555-0147", "-, -, -"),
    (ANN, "On 2026-11-30 613-555-0147, unit 5 (613) 555-0147", "On 2026-11-30 -, unit 5 -"),
    (Sought.of(phones=["06 12 34 56 78"]), "+33 6 12 34 56 78, +33 (0)6.12.34.56.78, 612345678", "-, -, -"),
    (Sought.of(phones=["+44 20 7946 0958"]), "020 7946 0958, +44 (0)20 7946 0958", "-, -"),
    (ANN, "613-555-0148 and 16135550147000", None),
    (ANN, "c-000123, C-0001234", "-, C-0001234"),
    (ANN, "at 12 elm street,  ottawa", "at -"),
    (LI, "Li lives here; LI's alive", "- lives here; -'s alive"),
    (LI, "1 camera of X", None),
    (LI, "Call 911 or 9-1-1, not 9111", "Call - or -, not 9111"),
    (LI, "a.c+[1]\\ and aXc+[1]", "- and aXc+[1]"),
    (Sought(), "anything x", None),
]


@pytest.mark.parametrize(("sought", "text", "expected"), CASES)
def test_values_are_found_as_whole_words_in_any_form(sought: Sought, text: str, expected: str | None) -> None:
    assert re.sub(sought.pattern, "-", text, flags=re.IGNORECASE) == (text if expected is None else expected)


def test_values_are_found_within_keys_that_programs_make() -> None:
    for key in ("signup-ann@bell.test", "wa16135550147x", "new_C-000123_1"):
        assert re.search(ANN.anywhere, key, re.IGNORECASE), key
        assert not re.search(Sought().anywhere, key)


def test_only_values_that_mean_one_person_are_distinctive() -> None:
    assert ANN.distinctive == ANN
    common = Sought.of(names=["Li", "Quackenbush", "Al Li"], phones=["911"], texts=["12", "2026-11-30", "ACME", "Main"])
    assert common.distinctive == Sought()
    assert ANN.without(["ann bell", "ann@bell.test"]).names == {"Zoë Bell"}
    assert ANN.without(["ann bell", "ann@bell.test"]).emails == frozenset()


@pytest.mark.parametrize(
    "raw",
    [
        b"From: ann@bell.test\r\n\r\nHello",
        b"\r\n" + base64.encodebytes("Grüße an Ann Bell, wie immer.".encode() * 9),
        b"\r\n" + base64.b64encode(b"I am Ann Bell."),
        b"\r\n" + quopri.encodestring("Café, ".encode() * 20 + "Zoë Bell".encode()),
        b"Subject: =?utf-8?B?" + base64.b64encode(b"Ann Bell") + b"?=\r\n\r\n",
        b"Subject: =?utf-8?q?Ann?=\r\n =?utf-8?q?_Bell?=\r\n\r\n",
        b"\r\n" + "Zoë Bell".encode("cp1252"),
        b"\0\xff\r\n\r\nann@bell.test\0",
    ],
)
def test_values_are_found_in_raw_mail(raw: bytes) -> None:
    assert re.search(ANN.pattern, readable(raw), re.IGNORECASE)
    assert not re.search(LI.pattern, readable(raw), re.IGNORECASE)
