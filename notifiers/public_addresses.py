"""Addresses of the public internet: the only ones to which a URL that somebody has typed in may lead.

Otherwise an admin's token would be a way into the network that the server stands in, whose routers, databases and
metadata services trust their neighbours.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

import httpx

Address: TypeAlias = IPv4Address | IPv6Address

_UNICAST: Final = IPv6Network("2000::/3")  # all that the internet routes so far (RFC 4291, section 2.4)
_ASSIGNMENTS: Final = IPv4Network("192.0.0.0/24")  # for protocols (RFC 6890); some versions of Python call it global
# Gateways and old stacks take the last four bytes for the IPv4 address (RFC 6052; RFC 4291, section 2.5.5.1).
_TRANSLATED: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))


# A name server that does not answer must not keep others from theirs, such as the pool of the database.
_LOOK_UPS: Final = ThreadPoolExecutor(4, thread_name_prefix="look-ups")


class NotPublic(Exception):
    """The host has no public address."""


def names_private_host(host: str) -> bool:
    """Whether the host is one by its very name: it is an address that is not public, in any form that a resolver reads
    (`127.1`, `0x7f.1`, `2130706433`, `[::ffff:10.0.0.1]`), or `localhost`."""
    name = host.removesuffix(".").lower()
    address = _literal(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    return not is_public(address)


def is_public(address: Address) -> bool:
    """Whether the address is neither private, shared, link-local, loopback, multicast, unspecified nor reserved, and
    does not stand for one that is."""
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(inner)
        return address.is_global and address in _UNICAST
    return address.is_global and not address.is_multicast and address not in _ASSIGNMENTS


class PublicTransport(httpx.AsyncBaseTransport):
    """Sends requests to public addresses only. Raises `NotPublic` if the host has none.

    The host's name is resolved once, and the connection made to an address that has been checked, so that a name server
    cannot give another one in between. The certificate is checked by the name.

    It keeps connections by their addresses. So one of its own is for those whose hosts may share an address and must
    not share a connection. `verify` is a context with the certificates, or whether to check them."""

    def __init__(self, verify: ssl.SSLContext | bool = True) -> None:
        self._transport = httpx.AsyncHTTPTransport(verify=verify)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        name = url.raw_host.decode("ascii")
        failure: httpx.ConnectError | None = None
        for address in await _public_addresses(name, url.port or (443 if url.scheme == "https" else 80)):
            pinned = httpx.Request(
                request.method,
                url.copy_with(host=str(address)),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": name},
            )
            try:
                return await self._transport.handle_async_request(pinned)
            except httpx.ConnectError as error:
                failure = error
        raise failure or NotPublic

    async def aclose(self) -> None:
        await self._transport.aclose()


async def _public_addresses(host: str, port: int) -> list[Address]:
    try:
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(_LOOK_UPS, look_up)
    except OSError as error:
        raise httpx.ConnectError(str(error)) from error
    addresses = dict.fromkeys(ip_address(where[0]) for _, _, _, _, where in found)
    return [address for address in addresses if is_public(address)]


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address to which packets for this one finally go, if there is one."""
    if any(address in network for network in _TRANSLATED):
        return IPv4Address(address.packed[12:])
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
