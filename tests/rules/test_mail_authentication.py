"""Which Authentication-Results count, and what they mean; `tests/mail/test_inbound.py` tests what follows from them."""

from __future__ import annotations

import asyncio
import time

import pytest

from notifiers.inbound.authentication import NO_ID, Forged, verified
from resolvers import inbound

OUR = "mx.callout.test"
OURS = frozenset({OUR, "mx2.callout.test"})
FIELD, RECEIVED, OTHER = "Authentication-Results", ("Received", "from a by b"), ("DKIM-Filter", "x")
FAILED = f"The sender failed DMARC, says {OUR}: the From address is probably forged."
UNREADABLE = f"The Authentication-Results of {OUR} cannot be read."


def said(*fields: str | tuple[str, str], servers: frozenset[str] = OURS, address: str = "ann@bell.test") -> object:
    """Returns the verdict, or the reason why the message is not believed."""
    header = [(FIELD, field) if isinstance(field, str) else field for field in fields]
    try:
        return verified([*header, ("From", address)], servers, address)
    except Forged as error:
        return str(error)


GOOGLE = """mx.google.com;\r
       dkim=pass header.i=@bell.test header.s=s42 header.b="TW/2lYx3";\r
       arc=pass (i=1 spf=pass spfdomain=bell.test dkim=pass dkdomain=bell.test dmarc=pass fromdomain=bell.test);\r
       spf=pass (google.com: domain of ann@bell.test designates 192.0.2.1 as permitted sender)\
 smtp.mailfrom=ann@bell.test;\r
       dmarc={} (p=QUARANTINE sp=QUARANTINE dis=NONE) header.from=bell.test"""
EXCHANGE = """spf=pass (sender IP is 192.0.2.1)\r
 smtp.mailfrom=bell.test; dkim=pass (signature was verified)\r
 header.d=bell.test;dmarc={} action=none\r
 header.from=bell.test;compauth=pass reason=100"""
RSPAMD = """mx.callout.test;\r
\tdkim=none;\r
\tdmarc={} reason="No valid SPF, No valid DKIM" header.from=bell.test (policy=quarantine);\r
\tspf=fail (mx.callout.test: domain of ann@bell.test does not designate 192.0.2.1 as permitted sender)\
 smtp.mailfrom=ann@bell.test"""
OPENDMARC = "mx.callout.test; dmarc={} (p=reject dis=none) header.from=bell.test"
OPENDKIM = """mx.callout.test;\r
\tdkim=pass (2048-bit key; unprotected) header.d=bell.test header.i=@bell.test header.a=rsa-sha256 header.s=s1\
 header.b=OnHOkkuR;\r
\tdkim-atps=neutral"""
FASTMAIL = """mx.callout.test;\r
    arc=none (no signatures found);\r
    dmarc={} policy.published-domain-policy=none policy.applied-disposition=none (p=none,sp=none,d.eval=none)\
 policy.policy-from=p header.from=bell.test;\r
    iprev=pass smtp.remote-ip=192.0.2.1 (mail.bell.test);\r
    spf=pass smtp.mailfrom=ann@bell.test smtp.helo=mail.bell.test"""
SPF = "mx.callout.test; spf=pass smtp.mailfrom=bell.test"
PASS, FAIL, NONE = (OPENDMARC.format(result) for result in ("pass", "fail", "none"))


@pytest.mark.parametrize(
    ("fields", "server"),
    [
        ([GOOGLE], "mx.google.com"),
        ([EXCHANGE], NO_ID),
        ([RSPAMD], OUR),
        ([OPENDMARC, OTHER, OPENDKIM, RECEIVED], OUR),
        ([OPENDKIM, OPENDMARC, SPF, RECEIVED], OUR),
        ([RECEIVED, OPENDMARC, SPF, OPENDKIM, OTHER, RECEIVED], OUR),
        ([f"{OUR}; x-csa=none; x-ptr=pass smtp.helo=a", f"{OUR}; bimi=none", FASTMAIL], OUR),
    ],
    ids=["Google", "Exchange Online", "Rspamd", "OpenDMARC", "OpenDKIM on top", "below Received", "Fastmail"],
)
def test_the_results_of_each_mail_server_are_read(fields: list[str | tuple[str, str]], server: str) -> None:
    for result, expected in (("pass", True), ("none", False), ("temperror", False), ("bestguesspass", False)):
        given = [field.format(result) if isinstance(field, str) else field for field in fields]
        assert said(*given, servers=frozenset({server})) is expected
    given = [field.format("fail") if isinstance(field, str) else field for field in fields]
    assert "failed DMARC" in str(said(*given, servers=frozenset({server})))


@pytest.mark.parametrize(
    "field",
    [
        f"{OUR} 1; dmarc = pass header.from = bell.test",
        f"{OUR.upper()}; DMARC=PASS HEADER.FROM=BELL.TEST;",
        f"(a (b)) {OUR} (c) 1 ; (d;) dmarc(e)/1=(f)pass(g) header(h).(i)from(j)=(k)bell.test",
        f"{OUR};\r\n\tdmarc=pass\r\n\theader.from=bell.test",
        f"mx2.callout.test; dmarc=pass header.from={'bell.test'}",
    ],
)
def test_case_comments_folding_and_versions_make_no_difference(field: str) -> None:
    assert said(field) is True
    assert said(field.replace("pass", "none").replace("PASS", "NONE")) is False
    assert "failed DMARC" in str(said(field.replace("pass", "fail").replace("PASS", "FAIL")))


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("ARC-Authentication-Results", f"i=1; {PASS}"), ("X-Authentication-Results", PASS)],
        [("Authentication-Results-Original", FAIL), ("Received-SPF", f"fail ({FAIL})")],
        [PASS.replace(OUR, f"{OUR}.evil.test")],
        [PASS.replace(OUR, f"x{OUR}")],
        [FAIL.replace(OUR, "mx.evil.test")],
        [FAIL.replace(OUR, f"mx.evil.test ({OUR})")],
        [f"dmarc=fail header.from=bell.test; {OUR}"],
        [f"; {FAIL}"],
        ["", " ", ";", "(", '"'],
    ],
)
def test_only_the_fields_of_our_servers_count(fields: list[str | tuple[str, str]]) -> None:
    assert said(*fields) is None
    assert said(PASS, *fields) is True


def test_without_a_server_nothing_is_known() -> None:
    for field in (PASS, FAIL, EXCHANGE.format("fail"), f"-; {FAIL}"):
        assert said(field, servers=frozenset()) is None


@pytest.mark.parametrize(
    "field",
    [
        *(
            f"{OUR}; {results}"
            for results in ("none", "dkim=pass header.d=bell.test", "spf=pass smtp.mailfrom=bell.test")
        ),
        *(OPENDMARC.format(result) for result in ("none", "temperror", "permerror", "passed", "policy", "")),
        f"{OUR}; dmarc=pass",
        f"{OUR}; dmarc=pass header.from=evil.test",
        f"{OUR}; dmarc=pass header.from=notbell.test",
        f"{OUR}; dmarc=pass header.from=sub.bell.test",
        f"{OUR}; dmarc=pass header.from=evil.test header.from=bell.test",
        f"{OUR}; dmarc=pass header.from=bell.test; dmarc=pass header.from=evil.test",
        f"{OUR}; dmarc=pass header.from=bell.test; dmarc=none header.from=bell.test",
        f'{OUR}; dmarc=pass header.from="bell.test"',
        f'{OUR}; dmarc=pass reason="header.from=bell.test"',
        f"{OUR}; dmarc=pass smtp.mailfrom=bell.test",
        f"{OUR}; dmarc=pass policy.header.from=bell.test",
        f"{OUR}; x-dmarc=pass header.from=bell.test; dmarcx=pass header.from=bell.test",
        f"{OUR}; spf=pass smtp.mailfrom=x dmarc=pass header.from=bell.test",
    ],
)
def test_everything_but_a_pass_for_the_senders_domain_is_unverified(field: str) -> None:
    assert said(field) is False


def test_a_policy_of_the_parent_domain_covers_the_sender() -> None:
    assert said(PASS, address="ann@mail.bell.test") is True
    assert said(PASS, address="ann@BELL.test") is True
    assert said(PASS, address="ann@mail-bell.test") is False


# Forged fields


@pytest.mark.parametrize("between", [[], [OTHER], [RECEIVED], [RECEIVED, OTHER, RECEIVED]])
def test_a_pass_that_the_sender_wrote_below_the_servers_fields_gains_nothing(between: list[tuple[str, str]]) -> None:
    for own in (FAIL, RSPAMD.format("fail")):
        assert said(own, *between, PASS, PASS) == FAILED
    for own in (NONE, SPF, f"{OUR}; dkim=none; spf=softfail smtp.mailfrom=evil.test", RSPAMD.format("none")):
        assert said(own, *between, PASS, PASS) is False
    for own in (OPENDKIM, f"{OUR}; none"):
        assert said(own, RECEIVED, *between, PASS, PASS) is False


def test_a_failure_counts_wherever_our_server_reports_it() -> None:
    """One server may pass the message on to another of ours."""
    for above in (PASS, NONE, SPF, f"{OUR}; auth=pass smtp.auth=filter"):
        assert said(above, RECEIVED, FAIL) == FAILED
    assert said(PASS, RECEIVED, NONE) is True


# The envelope's sender, which servers repeat

QUOTED = '"{}"@evil.test'
INJECTED = "a) ; dmarc=pass header.from=bell.test (b", "a; dmarc=pass header.from=bell.test", 'a\\"; dmarc=pass x=\\"b'
SERVERS = (
    "{0}; spf=pass ({0}: domain of {1} designates 192.0.2.1 as permitted sender) smtp.mailfrom={1}",
    "{0}; spf=pass ({0}: domain of {1} designates 192.0.2.1 as permitted sender) smtp.mailfrom=evil.test",
    "{0}; spf=pass smtp.mailfrom={1}",
)


@pytest.mark.parametrize("local", INJECTED)
@pytest.mark.parametrize("server", SERVERS)
def test_an_address_in_the_servers_own_field_gains_nothing(local: str, server: str) -> None:
    """Whether the server reports DMARC or not. If it cannot be read without doubt, an admin has to look at it."""
    field = server.format(OUR, QUOTED.format(local))
    assert said(field) in (False, UNREADABLE)
    assert said(f"{field}; dmarc=none header.from=bell.test") in (False, UNREADABLE)
    assert said(f"{field}; dmarc=fail header.from=bell.test") in (FAILED, UNREADABLE)


def test_an_address_that_a_server_escapes_incompletely_gains_nothing() -> None:
    """Rspamd 4.1 puts a backslash before the quotes, but not before the backslashes."""
    for local in ('\\"x\\"; dmarc=pass header.from=bell.test ;\\"y', '\\"; dmarc=pass header.from=bell.test; \\"'):
        escaped = '"{}"'.format(QUOTED.format(local).replace('"', '\\"'))
        for server in SERVERS:
            assert said(server.format(OUR, escaped)) in (False, UNREADABLE)
            assert said(f"{server.format(OUR, escaped)}; dmarc=fail header.from=bell.test") in (FAILED, UNREADABLE)


@pytest.mark.parametrize("local", ["ann", "ann lee", "ann.lee+x=y/z", "ann;lee", 'ann\\"lee', "ann(lee)"])
def test_an_unusual_address_hides_no_result(local: str) -> None:
    for result, expected in (("pass", True), ("none", False), ("fail", FAILED)):
        field = SERVERS[2].format(OUR, f'"{local}"@bell.test')
        assert said(f"{field}; dmarc={result} header.from=bell.test") == expected


@pytest.mark.parametrize(
    "field",
    [
        f"{OUR}; spf=pass (domain of a(b@evil.test); dmarc=fail header.from=bell.test",
        f'{OUR}; spf=pass (domain of "a(b"@evil.test); dmarc=pass header.from=bell.test',
        f'{OUR}; spf=pass (domain of "a)b"@evil.test); dmarc=pass header.from=bell.test',
        f'{OUR}; spf=pass (helo a" x); dmarc=fail header.from=bell.test; dkim=none (helo a")',
        f"{OUR}; spf=pass smtp.helo=a\\; dmarc=fail header.from=bell.test",
        f'{OUR}; spf=pass smtp.helo=a"; dmarc=fail header.from=bell.test',
        f"{OUR}; spf=pass smtp.helo=a); dmarc=pass header.from=bell.test",
        f"{OUR}; dmarc=pass header.from=bell.test (",
        f"{OUR}; dmarc=pass header.from=bell.test (\\)",
    ],
)
def test_a_field_that_is_not_well_formed_is_not_believed(field: str) -> None:
    assert said(field) == UNREADABLE
    assert said(field, servers=frozenset({"elsewhere.test"})) is None


# The answer to a service


async def test_a_services_answer_takes_a_multiple_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    for work, steps in ((0.0, 1), (0.003, 1), (0.049, 1), (0.051, 2), (0.12, 3)):
        start = now
        async with inbound.in_equal_time():
            now += work
        assert now - start == pytest.approx(steps * inbound.STEP_SECONDS)
