"""Reads the mailboxes in fields such as From, as people and programs write them (RFC 5322, section 3.4, and worse).

The standard library's parsers fail for crafted fields, and guess where a field has several addresses. Here a field has
one address or is ambiguous: an address in a quoted string or a comment is never taken, and of two different ones
neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import idna

from db import limits

# In the mask of a field, which is as long as the field, these stand for the characters of quoted strings and comments.
_QUOTED, _COMMENT = "\x01", "\x02"
_SYNTAX = re.compile(r'["()\\]')
_BRACKETS = re.compile(r"<([^<>]*)>")
_GROUP = re.compile(r"[^<>@,;:]*:([^:;]*);\s*")
_ROUTE = re.compile(r"\s*(?:@[^@:,\s]+,?\s*)+:")
_WORD = re.compile(rf"[^\s,;<>{_COMMENT}]+")
_AROUND_DOTS = re.compile(r"\s*([.@])\s*")
_ADDRESS = re.compile(r"[^\ufffd\s<>()\[\]:;,\\\"@]+@[^\ufffd\s<>()\[\]:;,\\\"@]+")
_QUOTED_LOCAL = re.compile(r'"([^"\\@\s]+)"@')
_DOT_ATOM = re.compile(r"[^\s.<>()\[\]:;,\\\"@]+(?:\.[^\s.<>()\[\]:;,\\\"@]+)*")
_ENDS = f" \t\r\n,;.{_COMMENT}"


def mailbox(value: str) -> tuple[str, str | None]:
    """The name as written, and the address; None unless there is exactly one address, which may be repeated. Takes time
    proportional to the length."""
    value = value.strip().strip(",").strip()
    mask = _mask(value)
    group = _GROUP.fullmatch(mask)
    if group is not None:
        return mailbox(value[group.start(1) : group.end(1)])
    return _bracketed(value, mask) if "<" in mask or ">" in mask else _bare(value, mask)


def addresses(value: str, most: int) -> list[str]:
    """Up to `most` addresses in a field with any number of mailboxes, in lower case and without repetition. What cannot
    be read is left out."""
    found: dict[str, None] = {}
    for part in _separated(value):
        _, address = mailbox(part.rpartition(":")[2])
        if address is not None:
            found.setdefault(address.lower())
        if len(found) == most:
            break
    return list(found)


def mailboxes(value: str) -> list[tuple[str, str]]:
    """The names and addresses in a field with any number of mailboxes."""
    found = map(mailbox, _separated(value))
    return [(name, address) for name, address in found if address is not None]


def spellings(address: str) -> list[str]:
    """The address in lower case, and with the other form of an internationalised domain, if it has one (RFC 5891)."""
    local, _, domain = address.lower().rpartition("@")
    try:
        other = idna.decode(domain) if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        other = domain
    return list(dict.fromkeys((f"{local}@{domain}", f"{local}@{other}")))


def without_tag(address: str) -> str | None:
    """The address before its tag: ann@example.com for ann+alarm@example.com; None if it has none."""
    local, _, domain = address.rpartition("@")
    base, plus, _ = local.partition("+")
    return f"{base}@{domain}" if base and plus else None


def _separated(value: str) -> Iterator[str]:
    """The parts between commas and semicolons that are not in quotes or comments."""
    start = 0
    mask = _mask(value)
    for end in (*(found.start() for found in re.finditer("[,;]", mask)), len(value)):
        yield value[start:end]
        start = end + 1


def _mask(value: str) -> str:
    """The value with its quoted strings and comments hidden. Comments may be nested; one that does not end is text, and
    so is a quote."""
    masked = list(value.replace(_QUOTED, " ").replace(_COMMENT, " "))
    opened, depth, quoted = 0, 0, False
    skipped = -1
    for found in _SYNTAX.finditer(value):
        at, character = found.start(), found[0]
        if at == skipped:
            continue
        if character == "\\":
            skipped = at + 1
        elif quoted:
            if character == '"':
                masked[opened : at + 1] = _QUOTED * (at + 1 - opened)
                quoted = False
        elif character == "(":
            opened = opened if depth else at
            depth += 1
        elif character == ")" and depth:
            depth -= 1
            if not depth:
                masked[opened : at + 1] = _COMMENT * (at + 1 - opened)
        elif character == '"' and not depth:
            opened, quoted = at, True
    return "".join(masked)


def _bracketed(value: str, mask: str) -> tuple[str, str | None]:
    """`Name <address>`, in which the name may have anything, but not another address beside a comma."""
    found = list(_BRACKETS.finditer(mask))
    if not found or len(found) != mask.count("<") or len(found) != mask.count(">"):
        return "", None
    inside = {_in_brackets(value, mask, *each.span(1)) for each in found}
    shown = mask[: found[0].start()]
    after = mask[found[-1].end() :]
    if len({address.lower() for address in inside}) != 1 or "" in inside or after.strip(_ENDS):
        return "", None
    if ("@" in shown and "," in shown) or ";" in shown:
        return "", None
    return value[: len(shown)].strip(), min(inside)


def _in_brackets(value: str, mask: str, start: int, end: int) -> str:
    """The address between angle brackets, without comments, a route and blanks around its dots; empty if it is none."""
    text = "".join(c for c, hidden in zip(value[start:end], mask[start:end], strict=True) if hidden != _COMMENT)
    return _plain(_AROUND_DOTS.sub(r"\1", _ROUTE.sub("", text, count=1).strip())) or ""


def _bare(value: str, mask: str) -> tuple[str, str | None]:
    """An address without angle brackets, after a name or alone."""
    words = [word for word in _WORD.finditer(mask) if "@" in word[0]]
    found = [_plain(value[word.start() : word.end()]) or "" for word in words]
    if len({address.lower() for address in found}) == 1 and found[0] and not mask[words[-1].end() :].strip(_ENDS):
        name = value[: words[0].start()].strip()
        return ("" if "," in mask[: words[0].start()] else name), found[0]
    spaced = _AROUND_DOTS.sub(r"\1", mask.replace(_COMMENT, " "))
    return "", None if _QUOTED in spaced else _plain(spaced.strip(_ENDS))


def _plain(address: str) -> str | None:
    """The address, without a dot at its end and quotes that its local part does not need; None if it is none."""
    address = _QUOTED_LOCAL.sub(
        lambda quoted: f"{quoted[1]}@" if _DOT_ATOM.fullmatch(quoted[1]) else quoted[0], address
    )
    address = address.removeprefix("mailto:").rstrip(".")
    fits = _ADDRESS.fullmatch(address) and address.isprintable() and len(address) <= limits.EMAIL_MAX
    return address if fits else None
