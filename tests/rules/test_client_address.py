"""The client's address: that of the peer, or what trusted proxies say of it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from callout.http.client_address import HOPS_MAX, ClientAddresses, parse_network, parsed
from callout.settings import Settings

PROXIES = ClientAddresses([parse_network(text) for text in ("10.0.0.0/8", "192.0.2.1", "2001:db8:f::/48")])


def client(peer: str | None, *forwarded: str, addresses: ClientAddresses = PROXIES) -> str | None:
    headers = [(b"host", b"callout.test"), *((b"x-forwarded-for", value.encode("latin-1")) for value in forwarded)]
    return addresses.of({"client": None if peer is None else (peer, 50_000), "headers": headers})


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.7", (), "198.51.100.7"),
        ("198.51.100.7", ("203.0.113.9",), "198.51.100.7"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("203.0.113.9:4711",), "203.0.113.9"),
        ("10.0.0.1", ("1.2.3.4, 203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.2.3.4", "203.0.113.9"), "203.0.113.9"),
        ("10.0.0.1", ("1.2.3.4, 203.0.113.9, 192.0.2.1",), "203.0.113.9"),
        ("10.0.0.1", ("10.9.9.9, 203.0.113.9 ,\t10.0.0.2",), "203.0.113.9"),
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        ("::ffff:10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("::ffff:203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.2.3.4, ::ffff:10.0.0.2",), "1.2.3.4"),
        ("2001:DB8:F:0:0::1", ("[2001:0db8::00A]:443",), "2001:db8::a"),
        ("2001:db8:f::1", ("2001:db8::a",), "2001:db8::a"),
        ("2001:db8::a", ("203.0.113.9",), "2001:db8::a"),
        ("fe80::1%eth0", (), "fe80::1"),
    ],
)
def test_the_rightmost_address_that_is_no_trusted_proxy_is_the_clients(
    peer: str, forwarded: tuple[str, ...], expected: str
) -> None:
    assert client(peer, *forwarded) == expected


@pytest.mark.parametrize(
    "garbage",
    [
        *("", ",", "unknown", "_hidden", "nonsense", "1.2.3", "1.2.3.4.5", "01.2.3.4", "999.1.1.1", "1.2.3.4:99:1"),
        *("[1::2", "1::2::3", "1.2.3.4\x00", "1.2.3.4\r\nx", "\xff", "1.2.3.4 5.6.7.8", '"1.2.3.4"', "for=1.2.3.4"),
        "9" * 60_000,
    ],
)
def test_garbage_is_no_address(garbage: str) -> None:
    """Then nothing is known but the proxy that passed it on, and no address further to the left is believed."""
    assert client("10.0.0.1", f"1.2.3.4, {garbage}, 10.0.0.2") == "10.0.0.2"
    assert client("10.0.0.1", f"1.2.3.4, {garbage}") == "10.0.0.1"


def test_only_the_last_hops_are_read() -> None:
    assert client("10.0.0.1", "1.2.3.4, " + ", ".join(["10.0.0.2"] * (HOPS_MAX - 1))) == "1.2.3.4"
    assert client("10.0.0.1", "1.2.3.4, " + ", ".join(["10.0.0.2"] * HOPS_MAX)) == "10.0.0.2"


def test_a_peer_without_an_address_has_none() -> None:
    """On a Unix socket; and nothing that it sends is believed."""
    assert client(None) is None
    assert client(None, "203.0.113.9") is None
    assert client("", "203.0.113.9") is None
    assert client("not an address", "203.0.113.9") is None


def test_without_trusted_proxies_no_header_is_believed() -> None:
    nobody = ClientAddresses(())
    assert client("127.0.0.1", "203.0.113.9", addresses=nobody) == "127.0.0.1"


def test_an_address_has_one_form() -> None:
    forms = ("2001:db8::1", "2001:DB8:0:0::1", "[2001:db8::1]", "[2001:db8::1]:80", "2001:db8::1%1")
    assert {str(parsed(form)) for form in forms} == {"2001:db8::1"}
    assert {str(parsed(form)) for form in ("192.0.2.7", "192.0.2.7:80", "::ffff:192.0.2.7")} == {"192.0.2.7"}


@pytest.mark.parametrize("proxies", ["nonsense", "10.0.0.1/8", "0.0.0.0/0", "::/0", "::ffff:10.0.0.0/104"])
def test_settings_refuse_proxies_that_are_no_networks_or_trust_everybody(proxies: str) -> None:
    with pytest.raises(ValidationError):
        Settings(trusted_proxies=proxies, jwt_secret="x" * 32)


def test_settings_list_addresses_and_networks() -> None:
    settings = Settings(trusted_proxies="10.0.0.5, 2001:db8::/32,", jwt_secret="x" * 32)
    assert settings.trusted_proxies == ("10.0.0.5", "2001:db8::/32")
