"""The address that a request comes from.

It is the address of the peer, unless that is a trusted proxy (`CALLOUT_TRUSTED_PROXIES`). A proxy appends the address
of its own peer to `X-Forwarded-For`, so the addresses are read from the right: the first one that is not a trusted
proxy's is the client's. Everything to the left of it came with the request, and anybody can write it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

from starlette.types import Scope

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

HOPS_MAX: Final = 20
"""The most addresses of `X-Forwarded-For` that are read: a longer chain of proxies is a forgery."""

_REMEMBERED: Final = 1_024
_V6_PREFIX: Final = 8  # bytes; a customer of a provider has at least a /64, and so any number of addresses
# An address, perhaps with a port. An IPv6 address with a port is in brackets.
_HOP = re.compile(r"\[([0-9a-f:.]{2,45})\](?::\d{1,5})?|([0-9.]{7,15})(?::\d{1,5})?|([0-9a-f:.]{2,45})", re.IGNORECASE)


class ClientAddresses:
    """Finds the addresses of clients behind the `trusted` proxies."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self._of = lru_cache(_REMEMBERED)(self._find)
        self._of_peer = lru_cache(_REMEMBERED)(self._peer)

    def of(self, scope: Scope) -> str | None:
        """The client's address in its canonical form, an IPv4 address also where it came mapped to IPv6. None if the
        peer has no address, as on a Unix socket."""
        peer = scope.get("client")
        if not peer:
            return None
        address, is_trusted = self._of_peer(peer[0])
        if not is_trusted:
            return address
        forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return self._of(address, b",".join(forwarded)) if forwarded else address

    def _peer(self, host: str) -> tuple[str | None, bool]:
        address = parsed(host)
        return (None, False) if address is None else (str(address), self.trusts(address))

    def _find(self, peer: str, forwarded: bytes) -> str:
        """The rightmost address that is not a trusted proxy's. If what stands there is no address, that of the last
        trusted proxy, which is all that is known."""
        known = peer
        for hop in reversed(forwarded.rsplit(b",", HOPS_MAX)[-HOPS_MAX:]):
            address = parsed(hop.decode("latin-1").strip())
            if address is None:
                break
            known = str(address)
            if not self.trusts(address):
                break
        return known

    def trusts(self, address: Address) -> bool:
        """Whether the address is that of a trusted proxy."""
        return any(address in network for network in self._trusted)


def parsed(text: str) -> Address | None:
    """The address in the text, perhaps with a port; None if it is none. An IPv4 address that is mapped to IPv6 becomes
    one of IPv4. The zone of an IPv6 address is dropped, because it means something on one machine only."""
    match = _HOP.fullmatch(text.partition("%")[0])
    if match is None:
        return None
    try:
        address = ip_address(match[match.lastindex or 0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def is_loopback(host: str) -> bool:
    """Whether the host is this computer, by its address or by the name that no DNS server can give to another."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def network_of(address: Address) -> bytes:
    """What limits count an address by: itself, or the /64 of an IPv6 address."""
    return address.packed if address.version == 4 else address.packed[:_V6_PREFIX]


def parse_network(text: str) -> Network:
    """An address or a network, such as `10.0.0.0/8`. Raises `ValueError` if it is neither."""
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ValueError(f"{text} is a mapped IPv4 network: write it as one of IPv4")
    return network
