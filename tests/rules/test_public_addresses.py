"""Which hosts a webhook may have."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from notifiers.public_addresses import is_public, names_private_host

PRIVATE = [
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
    *("255.255.255.255", "192.0.0.8", "198.18.0.1", "240.0.0.1"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1", "5f00::1"),
]
EMBEDDED = ["::ffff:{}", "::{}", "64:ff9b::{}"]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_the_internet_does_not_route_are_private(address: str) -> None:
    assert not is_public(ip_address(address))
    assert names_private_host(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:4860:4860::8888", "2a00:1450::1"])
def test_others_are_public(address: str) -> None:
    assert is_public(ip_address(address))
    assert not names_private_host(address)


@pytest.mark.parametrize("form", EMBEDDED)
def test_an_address_that_stands_for_another_is_judged_by_that(form: str) -> None:
    assert is_public(ip_address(form.format("8.8.8.8")))
    for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254"):
        assert not is_public(ip_address(form.format(address)))


def test_tunnels_are_judged_by_where_they_end() -> None:
    assert not is_public(ip_address("2002:7f00:1::"))
    assert not is_public(ip_address("2001:0:808:808::80ff:fffe"))  # the client of a Teredo tunnel, at 127.0.0.1


@pytest.mark.parametrize(
    "host",
    [
        *("127.1", "0x7f.1", "0X7F.0.0.1", "017700000001", "2130706433", "127.0.0.1.", "0", "10.1"),
        *("localhost", "LOCALHOST", "localhost.", "a.localhost"),
    ],
)
def test_a_private_host_is_recognised_in_every_form(host: str) -> None:
    assert names_private_host(host)


@pytest.mark.parametrize("host", ["chat.googleapis.com", "localhost.example.com", "10.0.0.1.example.com", "8.8.2056"])
def test_other_names_are_not_known_to_be_private(host: str) -> None:
    assert not names_private_host(host)
