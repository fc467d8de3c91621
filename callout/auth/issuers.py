"""The identity providers whose tokens are accepted, and how their claims are read: what `CALLOUT_JWT_ISSUERS` and
`CALLOUT_JWT_CLAIMS` say.

Both are JSON. A name that no key has is refused, because a misspelt one would change who gets in.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from db.enums import Role

ISSUERS_MAX: Final = 20
ISSUER_MAX: Final = 200  # characters, as in `identities`
SECRET_MAX: Final = 4_096  # characters

Algorithm: TypeAlias = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
DEFAULT_ALGORITHMS: Final[tuple[Algorithm, ...]] = ("RS256", "ES256")

_ROLES: Final = {role.value.lower(): role for role in Role}
_IN_THE_DATABASE: Final = frozenset({Role.TECHNICIAN, Role.CUSTOMER})


def _listed(value: Any) -> Any:
    """One value stands for a list of it."""
    if isinstance(value, str | bool | int):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _role(value: Any) -> Any:
    role = _ROLES.get(value) if isinstance(value, str) else None
    if role is None:
        raise ValueError(f"must be one of {', '.join(_ROLES)}")
    return role


Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Names: TypeAlias = Annotated[tuple[Name, ...], BeforeValidator(_listed), Field(min_length=1, max_length=20)]
Paths: TypeAlias = Annotated[tuple[Name, ...], BeforeValidator(_listed), Field(max_length=10)]
Values: TypeAlias = Annotated[
    tuple[str | bool | int, ...], BeforeValidator(_listed), Field(min_length=1, max_length=50)
]
OurRole: TypeAlias = Annotated[Role, BeforeValidator(_role)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ClaimMapping(_Strict):
    """Where in a token the claims are that Callout reads. A claim is named by its path (`callout/auth/claims.py: find`)
    or by several, of which the first that the token has is read."""

    role: Paths = ("role",)
    """A text or a list of texts: the roles that the provider gives."""

    roles: dict[Name, OurRole] | None = None
    """The provider's names of roles, with ours. Other names mean nothing. Without it, the names are ours."""

    default_role: OurRole | None = None
    """The role of those to whom the provider gives none that is known here."""

    subject: Paths = ("sub",)
    id: Paths = ()
    """The id that Callout itself gave to the technician or customer (`tec_…`, `cus_…`), if the provider keeps it."""

    name: Paths = ("name",)
    email: Paths = ("email",)
    email_verified: Paths = ("email_verified",)
    service_scope: Paths = ("service_scope",)
    link_by_email: bool = False
    """Whether somebody who signs in for the first time is linked to the technician or customer with their verified
    e-mail address."""

    @field_validator("subject", "role")
    @classmethod
    def _is_there(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        if not paths:
            raise ValueError("must name a claim")
        return paths

    @field_validator("link_by_email")
    @classmethod
    def _by_one_claim(cls, links: bool, info: ValidationInfo) -> bool:
        """What the provider has verified is one claim; another may be what somebody has typed."""
        if links and any(len(info.data.get(name, ())) > 1 for name in ("email", "email_verified")):
            raise ValueError("needs a single claim each for email and email_verified")
        return links

    @field_validator("default_role")
    @classmethod
    def _needs_a_person(cls, role: Role | None) -> Role | None:
        """Everybody whom the provider lets sign up has this role."""
        if role is not None and role not in _IN_THE_DATABASE:
            raise ValueError("must be technician or customer: anybody with an account there would be one of the others")
        return role


class BrowserClient(_Strict):
    """Callout as a client of the provider, by which people sign in in a browser (OpenID Connect). Without a secret it
    is a public one. `label` is what the page calls the provider."""

    client_id: Name
    client_secret: Annotated[str, Field(min_length=1, max_length=SECRET_MAX)] | None = Field(None, repr=False)
    client_secret_file: str | None = None
    label: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    scopes: Names = ("openid", "profile", "email")

    @field_validator("label")
    @classmethod
    def _is_a_line(cls, label: str | None) -> str | None:
        if label is not None and not (label.isprintable() and label.strip()):
            raise ValueError("must be a line of text")
        return label

    @field_validator("scopes")
    @classmethod
    def _of_openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes or not all(re.fullmatch(r"[!#-\[\]-~]+", each) for each in scopes):
            raise ValueError("must have openid, and no spaces")
        return scopes

    @model_validator(mode="after")
    def _read_secret(self) -> Self:
        if self.client_secret_file is None:
            return self
        if self.client_secret is not None:
            raise ValueError("client_secret and client_secret_file are both set: unset one of them")
        try:
            with open(self.client_secret_file, encoding="utf-8") as file:
                secret = file.read(SECRET_MAX + 2).removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise ValueError(f"client_secret_file cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError("client_secret_file is not a text in UTF-8") from None
        if not 1 <= len(secret) <= SECRET_MAX:
            raise ValueError(f"client_secret_file must have 1 to {SECRET_MAX} characters")
        object.__setattr__(self, "client_secret", secret)
        return self


class TrustedIssuer(_Strict):
    """A provider. `issuer` is the `iss` of its tokens, exactly; `jwks_url` is found by OpenID discovery if not given.
    `require` has further claims, by their paths, with the values that each may have."""

    issuer: Annotated[str, Field(max_length=ISSUER_MAX)]
    name: str = ""
    audience: Names
    audience_claim: Name = "aud"
    algorithms: Annotated[tuple[Algorithm, ...], BeforeValidator(_listed), Field(min_length=1)] = DEFAULT_ALGORITHMS
    jwks_url: str | None = None
    require: dict[Name, Values] = Field(default_factory=dict)
    claims: ClaimMapping = Field(default_factory=ClaimMapping)
    browser: BrowserClient | None = None

    def __repr__(self) -> str:
        return self.name

    @field_validator("issuer", "jwks_url")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        if url is not None and not _is_plain(url):
            raise ValueError("must be a URL such as https://login.example.com/, without a user, query or fragment")
        return url

    @model_validator(mode="after")
    def _named(self) -> Self:
        """The name distinguishes the admins of one provider from those of another, so it must not look like an id."""
        if not self.name:
            object.__setattr__(self, "name", urlsplit(self.issuer).hostname or "")
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?", self.name):
            raise ValueError("name must have letters a to z, digits, dots and hyphens, at most 64")
        return self


def parse_issuers(text: str) -> tuple[TrustedIssuer, ...]:
    """Returns the providers in a JSON list, or in one object. Raises `ValueError` with a sentence that says what is
    wrong where."""
    given = _json(text)
    entries = given if isinstance(given, list) else [given]
    if not 1 <= len(entries) <= ISSUERS_MAX:
        raise ValueError(f"must have 1 to {ISSUERS_MAX} issuers")
    issuers = tuple(_read(TrustedIssuer, entry, f"issuer {number}") for number, entry in enumerate(entries, 1))
    for key, advice in (("issuer", "give all of its settings once"), ("name", "give each a name of its own")):
        values = [getattr(issuer, key) for issuer in issuers]
        for value in values:
            if values.count(value) > 1:
                raise ValueError(f"several issuers have the {key} {value}; {advice}")
    return issuers


def parse_claims(text: str) -> ClaimMapping:
    """Returns the claim mapping in a JSON object. Raises `ValueError` with a sentence that says what is wrong where."""
    return _read(ClaimMapping, _json(text), "")


_Model = TypeVar("_Model", bound=BaseModel)


def _read(model: type[_Model], given: object, where: str) -> _Model:
    if not isinstance(given, Mapping):
        raise ValueError(f"{where or 'it'} must be a JSON object")
    try:
        # As JSON: a list is a tuple there.
        return model.model_validate_json(json.dumps(given))
    except ValidationError as error:
        raise ValueError("; ".join(_sentence(each, where) for each in error.errors()[:5])) from None


def _sentence(problem: Mapping[str, Any], where: str) -> str:
    path = [str(part) for part in problem["loc"] if part != "[key]"]
    place = ", ".join(filter(None, (where, ".".join(path))))
    match problem["type"]:
        case "extra_forbidden":
            known = _fields_at(path[:-1], TrustedIssuer if where else ClaimMapping)
            close = difflib.get_close_matches(path[-1], known, 1)
            return f"{place} is no setting" + (f"; is it {close[0]}?" if close else f", but {', '.join(known)} are")
        case "missing":
            return f"{place} is missing"
        case _:
            message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
            return f"{place} {message[:1].lower()}{message[1:]}".strip()


def _fields_at(path: list[str], model: type[BaseModel]) -> list[str]:
    of_issuer: dict[str, type[BaseModel]] = {"claims": ClaimMapping, "browser": BrowserClient}
    return list((of_issuer[path[0]] if path else model).model_fields)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg}, line {error.lineno}, column {error.colno}") from None


def _is_plain(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    clean = re.fullmatch(r"[!-~]+", url) and not (parts.query or parts.fragment or "@" in parts.netloc)
    return bool(clean and parts.scheme in ("https", "http") and parts.hostname and port != 0)
