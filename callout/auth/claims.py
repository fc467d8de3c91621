"""What a token says of its bearer, read from its claims by a `ClaimMapping`. No database, and nothing is verified here.

Errors name the claim: in full for the log, and for the client as far as it is safe. All tokens that come here have a
signature that is good, so the bearer learns only about their own token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from callout.auth.issuers import ClaimMapping
from callout.http.errors import Unauthenticated
from db.enums import Role, ServiceScope
from db.ids import shown
from db.limits import EMAIL_MAX, NAME_MAX, TOKEN_SUBJECT_MAX

OWN: Final = ClaimMapping(id=("sub",), email=("email", "sub"))
"""How the tokens are read that `callout token` makes, and those of an issuer that has the claims of Callout."""

_ROLES: Final = {role.value.lower(): role for role in Role}
_SCOPES: Final = {scope.value.lower(): scope for scope in ServiceScope}
_LEAST_FIRST: Final = (Role.CUSTOMER, Role.TECHNICIAN, Role.SERVICE, Role.ADMIN)
# Only text that PostgreSQL can store and a log can show: no control characters, no lone surrogates.
_TEXT: Final = re.compile(r"(?!\s*$)[^\x00-\x1f\x7f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a token names. `id` is the global id of a technician or customer, if the token has it. `verified_email` is
    the address that the provider has verified, and `email` any that the token has."""

    role: Role
    subject: str
    id: str | None
    name: str | None
    email: str | None
    verified_email: str | None
    scope: ServiceScope | None


def bearer_of(claims: Mapping[str, Any], mapping: ClaimMapping) -> Bearer:
    """Raises `Unauthenticated`, with a reason that names the claim, if one is missing or unusable."""
    role = _role(claims, mapping)
    email = _email(claims, mapping)
    return Bearer(
        role=role,
        subject=_subject(claims, mapping),
        id=_id(claims, mapping),
        name=_name(claims, mapping, role),
        email=None if _first(claims, mapping.email_verified) is False else email,
        verified_email=email if _is_true(_first(claims, mapping.email_verified)) else None,
        scope=_scope(claims, mapping, role),
    )


def find(claims: object, path: str) -> Any:
    """Returns the claim at a path, or None: `realm_access.roles` is `roles` in `realm_access`, unless there is a claim
    of exactly that name. Of names with dots in them, such as `https://example.com/role`, the longest that the token has
    is taken."""
    if not isinstance(claims, Mapping):
        return None
    if path in claims:
        return claims[path]
    end = path.rfind(".")
    while end > 0:
        if path[:end] in claims:
            return find(claims[path[:end]], path[end + 1 :])
        end = path.rfind(".", 0, end)
    return None


def invalid(claim: str, why: str) -> Unauthenticated:
    return Unauthenticated(f'The token\'s claim "{claim}" is not valid.', reason=f"{claim} {why}")


def missing(claim: str) -> Unauthenticated:
    return Unauthenticated(f'The token has no claim "{claim}".', reason=f"{claim} is missing")


def _first(claims: Mapping[str, Any], paths: Sequence[str]) -> Any:
    return next((value for path in paths if (value := find(claims, path)) is not None), None)


def _role(claims: Mapping[str, Any], mapping: ClaimMapping) -> Role:
    """Of several roles the least: who has more in mind must say so at the provider."""
    given = _first(claims, mapping.role)
    names = [given] if isinstance(given, str) else given
    # Our own tokens have exactly one role.
    if names is not None and (not _are_texts(names) or (mapping is OWN and isinstance(given, list))):
        raise invalid(
            mapping.role[0], f"is {said(given)}, not a text" + ("" if mapping is OWN else " or a list of them")
        )
    known: Mapping[str, Role] = _ROLES if mapping.roles is None else mapping.roles
    found = {known[name] for name in names or () if name in known}
    if found:
        return next(role for role in _LEAST_FIRST if role in found)
    if mapping.default_role is not None:
        return mapping.default_role
    if names is None:
        raise missing(mapping.role[0])
    raise Unauthenticated(
        "The token has no role that this server knows.",
        reason=f"{mapping.role[0]} is {said(given)}; known are {', '.join(known)}",
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _subject(claims: Mapping[str, Any], mapping: ClaimMapping) -> str:
    subject = _first(claims, mapping.subject)
    if subject is None:
        raise missing(mapping.subject[0])
    if not _is_line(subject, TOKEN_SUBJECT_MAX):
        raise invalid(mapping.subject[0], f"is {said(subject)}, not a line of 1 to {TOKEN_SUBJECT_MAX} characters")
    return str(subject)


def _id(claims: Mapping[str, Any], mapping: ClaimMapping) -> str | None:
    given = _first(claims, mapping.id)
    if given is not None and not isinstance(given, str):
        raise invalid(mapping.id[0], f"is {said(given)}, not a text")
    return given


def _name(claims: Mapping[str, Any], mapping: ClaimMapping, role: Role) -> str | None:
    """The names of technicians and customers are in the database."""
    if role in (Role.TECHNICIAN, Role.CUSTOMER):
        return None
    claim = mapping.name[0] if mapping.name else "name"
    name = _first(claims, mapping.name)
    if name is None:
        raise missing(claim)
    if not _is_line(name, NAME_MAX):
        raise invalid(claim, f"is {said(name)}, not a line of 1 to {NAME_MAX} characters")
    return str(name)


def _email(claims: Mapping[str, Any], mapping: ClaimMapping) -> str | None:
    """None if it cannot be an address."""
    given = _first(claims, mapping.email)
    return given.strip() if _is_line(given, EMAIL_MAX) and "@" in given else None


def _is_line(value: object, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and _TEXT.fullmatch(value) is not None


def _is_true(value: object) -> bool:
    """Cognito writes some as "true", and Entra ID has written "1"."""
    return isinstance(value, bool | int | str) and str(value).lower() in ("true", "1")


def _scope(claims: Mapping[str, Any], mapping: ClaimMapping, role: Role) -> ServiceScope | None:
    """Only our own tokens may have none, which is every scope: issuers whose claims are those of Callout have issued
    such tokens since before there were scopes."""
    claim = _first(claims, mapping.service_scope)
    if claim is None:
        if role is Role.SERVICE and mapping is not OWN:
            raise missing(mapping.service_scope[0])
        return None
    scope = _SCOPES.get(claim) if isinstance(claim, str) else None
    if scope is None or role is not Role.SERVICE:
        raise invalid(mapping.service_scope[0], f"is {said(claim)}, which is no scope, or the role is not service")
    return scope


def said(value: object) -> str:
    """A claim's value, as a line of the log shows it: on one line and not too long."""
    try:
        return shown(value) if isinstance(value, str) else shown(repr(value)).strip('"')
    except RecursionError:  # a header that nobody has signed can be nested as deeply as JSON is read
        return f"a {type(value).__name__} that is nested too deeply"


def in_words(value: object) -> str:
    """What a provider says to a person, on one line and not too long."""
    return "".join(filter(str.isprintable, str(value)))[:200]
