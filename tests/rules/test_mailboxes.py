"""Mailboxes as people and programs write them."""

from __future__ import annotations

import pytest

from notifiers.inbound.mailboxes import addresses, mailbox, spellings, without_tag


@pytest.mark.parametrize(
    ("field", "name", "address"),
    [
        ("Big Bug bb@bug.example", "Big Bug", "bb@bug.example"),
        ('"Bug, Big" bb@bug.example', '"Bug, Big"', "bb@bug.example"),
        # RFC 5322, appendices A.1.2, A.5 and A.6
        ('"Joe Q. Public" <john.q.public@example.com>', '"Joe Q. Public"', "john.q.public@example.com"),
        (r"Pete(A nice \) chap) <pete(his account)@silly.test(his host)>", r"Pete(A nice \) chap)", "pete@silly.test"),
        ("A Group(Some people)\r\n :Chris Jones <c@(Chris's host.)public.test>;", "Chris Jones", "c@public.test"),
        ("John Doe <jdoe@machine(comment).  example>", "John Doe", "jdoe@machine.example"),
        ("jdoe@test  . example", "", "jdoe@test.example"),
        ("Mary Smith <@node.test:mary@example.net>", "Mary Smith", "mary@example.net"),
        ("ann@bell.test (Ann (at work))", "", "ann@bell.test"),
        ("a@bell.test.", "", "a@bell.test"),
        *((field, "", "a@bell.test") for field in ("a@bell.test,", "<a@bell.test.>", ",<a@bell.test>;")),
        *((field, "", "a@bell.test") for field in ('"a"@bell.test', '<"a"@bell.test>', "<mailto:a@bell.test>")),
        *((field, "", "a@bell.test") for field in ("a@bell.test, a@bell.test", "<a@bell.test>, <a@bell.test>")),
        ("Ann @ Bell <ann@bell.test>", "Ann @ Bell", "ann@bell.test"),
        ("ann@bell.test <ann@bell.test>", "ann@bell.test", "ann@bell.test"),
        ("Ann O'Bell <ann@bücher.example>", "Ann O'Bell", "ann@bücher.example"),
    ],
)  # fmt: skip
def test_a_sloppy_field_has_its_one_address(field: str, name: str, address: str) -> None:
    assert mailbox(field) == (name, address)


@pytest.mark.parametrize(
    "field",
    [
        *("a@bell.test, b@bell.test", "A <a@bell.test>, B <b@bell.test>", "Us: a@bell.test, b@bell.test;"),
        *("a@bell.test b@bell.test", "a@bell.test, Ann <b@bell.test>", "Ann <a@bell.test> b@bell.test"),
        # An address that is quoted or commented upon is nobody's.
        *('"a@bell.test"', "(a@bell.test)", '"<a@bell.test>"', "(Ann <a@bell.test>)", "Ann (a@bell.test"),
        *('"a b"@bell.test', "a@[127.0.0.1]", "a@b@bell.test", "<a@bell.test", "a@bell.test>", "<>", "", "Ann"),
        "a@" + "b" * 300 + ".test",
    ],
)
def test_an_ambiguous_field_has_no_address(field: str) -> None:
    assert mailbox(field)[1] is None


@pytest.mark.parametrize("filling", ["(", '"', "<", "@", "\\", ",;", " . ", "a@b.c ", "@a,", "<a@b.c>", "()", ": ;"])
def test_a_hostile_field_is_read_to_its_end(filling: str) -> None:
    """Each takes some milliseconds; with a careless pattern it would take minutes."""
    for field in (filling * 5_000, f"<{filling * 5_000}>", f"Ann {filling * 5_000} ann@bell.test"):
        mailbox(field)
        assert len(addresses(field, 50)) <= 50


def test_the_recipients_of_a_message_are_found_in_all_forms() -> None:
    field = 'Mary <Mary@x.test>, jdoe@test . example, A Group:Ed <c@a.test>,joe@y.test;, "x, y" <q@z.test>, mary@x.test'
    assert addresses(field, 50) == ["mary@x.test", "jdoe@test.example", "c@a.test", "joe@y.test", "q@z.test"]
    assert addresses(field, 2) == ["mary@x.test", "jdoe@test.example"]


def test_a_domain_has_two_spellings_and_a_tag_is_no_part_of_the_mailbox() -> None:
    both = {"ann@bücher.example", "ann@xn--bcher-kva.example"}
    assert set(spellings("Ann@bücher.example")) == set(spellings("ann@xn--bcher-kva.example")) == both
    assert spellings("ANN@bell.test") == ["ann@bell.test"]
    assert spellings("ann@xn--.test") == ["ann@xn--.test"]
    tagged = {"ann+alarm@bell.test": "ann@bell.test", "ann+a+b@bell.test": "ann@bell.test"}
    assert {given: without_tag(given) for given in tagged} == tagged
    assert [without_tag(given) for given in ("ann@bell.test", "+a@bell.test", "ann@be+ll.test")] == [None] * 3
