"""Whether our mail server has verified a message's sender, by its Authentication-Results (RFC 8601).

Only DMARC (RFC 7489) counts, because it alone is about the address in From. The server puts its fields above those that
the sender wrote, and removes those that the sender wrote in its name. As not every server does the latter, a field of
the sender's must gain nothing: a failure counts wherever it is reported, and a pass only in the first field that can
contain it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

NO_ID = "-"
"""Stands for a server that leaves the authserv-id out of its fields, as Exchange Online does."""

# A quoted string, text without syntax, or a single character.
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\\.|[^\\"();]+|.', re.DOTALL)
_SERVER = re.compile(r"\s*([^\s=]+)(?:\s+1)?\s*")  # the authserv-id and the version
_METHOD = re.compile(r"\s*(\w+)\s*(?:/\s*\d+\s*)?=\s*(\w+)(?!\S)")
_HEADER_FROM = re.compile(r"(?<!\S)header\s*\.\s*from\s*=\s*(\S+)", re.IGNORECASE)


class Forged(Exception):
    """The message must not be believed. The text is the reason, for admins to read."""


@dataclass(frozen=True, slots=True)
class _Results:
    """One field: the authserv-id in lower case, the results of DMARC with their domains, and whether there is one of
    SPF. Each Received above it is a `hop`: fields of one hop stand together. A field is `broken` if its comments or
    quoted strings do not end where they should."""

    server: str
    hop: int
    dmarc: tuple[tuple[str, tuple[str, ...]], ...]
    has_spf: bool
    broken: bool


def verified(header: Iterable[tuple[str, str]], servers: frozenset[str], address: str) -> bool | None:
    """Whether one of `servers` (authserv-ids in lower case, or `NO_ID`) has verified the domain of the sender's
    `address`; None if none of them has said anything. `header` has the names and values of all fields from the top.
    Raises `Forged` if the sender has failed DMARC, or if a field of the server's cannot be read.
    """
    fields = list(_of_servers(header, servers))
    if not fields:
        return None
    for field in fields:
        server = "the mail server" if field.server == NO_ID else field.server
        if field.broken:
            raise Forged(f"The Authentication-Results of {server} cannot be read.")
        if any(result == "fail" for result, _ in field.dmarc):
            raise Forged(f"The sender failed DMARC, says {server}: the From address is probably forged.")
    newest = [field for field in fields if field.hop == fields[0].hop]
    # DMARC is evaluated after SPF. If the server's results of SPF come without DMARC, it has evaluated none.
    decisive = next((field for field in newest if field.dmarc or field.has_spf), None)
    if decisive is None or not decisive.dmarc:
        return False
    results = [result for field in newest for result in field.dmarc]
    return all(result == "pass" and _covers(domains, address) for result, domains in results)


def _of_servers(header: Iterable[tuple[str, str]], servers: frozenset[str]) -> Iterator[_Results]:
    """The fields of these servers, from the top."""
    hop = 0
    for name, value in header:
        if name.lower() == "received":
            hop += 1
        elif name.lower() == "authentication-results":
            results = _parsed(value, hop)
            if results.server in servers:
                yield results


def _covers(domains: tuple[str, ...], address: str) -> bool:
    """Whether a result is about the address. Some servers name the domain that publishes the policy, which may be above
    that of the address."""
    domain = address.rpartition("@")[2].lower()
    return len(domains) == 1 and (domain == domains[0] or domain.endswith(f".{domains[0]}"))


def _parsed(value: str, hop: int) -> _Results:
    """Parse a field leniently: what is not a result is skipped, as servers deviate from the RFC in many ways."""
    clauses, broken = _clauses(value)
    server = _SERVER.fullmatch(clauses[0])
    dmarc, has_spf = [], False
    for clause in clauses[1:] if server else clauses:
        method = _METHOD.match(clause)
        name = method[1].lower() if method else ""
        has_spf |= name == "spf"
        if method and name == "dmarc":
            domains = tuple(domain.lower() for domain in _HEADER_FROM.findall(clause, method.end()))
            dmarc.append((method[2].lower(), domains))
    return _Results(server[1].lower() if server else NO_ID, hop, tuple(dmarc), has_spf, broken)


def _clauses(value: str) -> tuple[list[str], bool]:
    """The parts between semicolons, without comments and quoted strings, and whether the field is broken.

    Servers repeat the sender's address, even in comments, where RFC 5322 gives quotes no meaning: an address with
    parentheses in its quoted part could end the comment. So there they must not occur.
    """
    clauses, depth, broken = [""], 0, False
    for piece in _PIECE.findall(value):
        if piece == "(":
            depth += 1
        elif piece == ")":
            depth -= 1
            broken |= depth < 0
            clauses[-1] += " "
        elif depth > 0:
            broken |= piece[0] == '"' and (piece == '"' or not set("();").isdisjoint(piece))
        elif piece == '"' or piece[0] == "\\":
            broken = True
        elif piece == ";":
            clauses.append("")
        else:
            clauses[-1] += '""' if piece[0] == '"' else piece
    return clauses, broken or depth != 0
