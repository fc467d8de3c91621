"""What a token's claims mean, by a claim mapping, and which settings of issuers are refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from callout.auth.claims import OWN, Bearer, bearer_of, find, said
from callout.auth.issuers import ClaimMapping, parse_claims, parse_issuers
from callout.http.errors import Unauthenticated
from db.enums import Role, ServiceScope

GOOD: dict[str, Any] = {"issuer": "https://login.example.com/", "audience": "callout"}


def mapping(**given: Any) -> ClaimMapping:
    return parse_claims(json.dumps(given))


def read(claims: dict[str, Any], **given: Any) -> Bearer:
    return bearer_of({"sub": "ada", "role": "customer", "name": "Ada"} | claims, mapping(**given))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("role", "plain"),
        ("realm_access.roles", ["nested"]),
        ("https://example.com/role", "namespaced"),
        ("https://example.com/claims.role", "in a namespace"),
        ("cognito:groups", ["group"]),
        ("resource_access.my.client.roles", ["dotted"]),
        ("a.b", "exact"),
        ("a.b.c", "beside the exact"),
        ("realm_access", {"roles": ["nested"]}),
        *(
            (path, None)
            for path in ("roles", "realm_access.role", "role.x", "realm_access.roles.0", ".", "", "a.", ".a")
        ),
    ],
)
def test_a_claim_is_found_by_its_path(path: str, value: Any) -> None:
    claims = {
        "role": "plain",
        "realm_access": {"roles": ["nested"]},
        "https://example.com/role": "namespaced",
        "https://example.com/claims": {"role": "in a namespace"},
        "cognito:groups": ["group"],
        "resource_access": {"my.client": {"roles": ["dotted"]}, "my": {"client": {"roles": ["deeper"]}}},
        "a.b": "exact",
        "a": {"b": {"c": "never reached"}, "b.c": "beside the exact"},
    }
    if path == "a.b.c":  # the longest name that the token has, and nothing behind it
        assert find(claims, path) is None
        del claims["a.b"]
    assert find(claims, path) == value


@pytest.mark.parametrize(
    ("given", "role"),
    [
        ("technician", Role.TECHNICIAN),
        (["technician"], Role.TECHNICIAN),
        (["admin", "technician"], Role.TECHNICIAN),
        (["admin", "customer", "technician", "service"], Role.CUSTOMER),
        (["admin", "service"], Role.SERVICE),
        (["offline_access", "admin"], Role.ADMIN),
    ],
)
def test_of_several_roles_the_least_counts(given: Any, role: Role) -> None:
    scope = {"service_scope": "chatbot"} if role is Role.SERVICE else {}
    assert read({"role": given} | scope).role is role


def test_roles_are_mapped_and_others_mean_nothing() -> None:
    roles = {"Dispatcher": "admin", "field staff": "technician", "Lead": "admin"}
    for given, role in (
        ("Dispatcher", Role.ADMIN),
        (["Lead", "Dispatcher"], Role.ADMIN),
        (["field staff", "Lead"], Role.TECHNICIAN),
    ):
        assert read({"role": given}, roles=roles).role is role
    for given in ("admin", "dispatcher", "Dispatcher ", ["admin"], [], "field"):
        with pytest.raises(Unauthenticated, match="no role that this server knows"):
            read({"role": given}, roles=roles)
        assert read({"role": given}, roles=roles, default_role="customer").role is Role.CUSTOMER


@pytest.mark.parametrize("given", [5, True, {"admin": True}, [["admin"]], ["admin", 5], [None]])
def test_a_role_that_is_no_text_is_refused_even_with_a_default(given: Any) -> None:
    with pytest.raises(Unauthenticated, match='claim "role" is not valid') as refused:
        read({"role": given}, default_role="customer")
    assert "not a text or a list of them" in (refused.value.reason or "")


def test_the_first_path_that_the_token_has_counts() -> None:
    names = ["https://example.com/name", "name", "preferred_username"]
    roles = ["https://example.com/role", "role"]
    assert read({"role": "admin", "preferred_username": "x"}, name=names).name == "Ada"
    assert read({"role": "admin", "name": None, "preferred_username": "x"}, name=names).name == "x"
    found = read(
        {
            "role": "admin",
            "https://example.com/role": "service",
            "https://example.com/name": "Bot",
            "service_scope": "chatbot",
        },
        role=roles,
        name=names,
    )
    assert (found.role, found.name) == (Role.SERVICE, "Bot")


@pytest.mark.parametrize("verified", [True, "true", "True", 1, "1"])
def test_an_address_is_verified_if_the_claim_is_true(verified: Any) -> None:
    """Cognito sends some as texts, and Entra ID numbers."""
    claims = {"mail": "ada@example.com", "edov": verified}
    found = read(claims, email="mail", email_verified="edov")
    assert (found.email, found.verified_email) == ("ada@example.com", "ada@example.com")


@pytest.mark.parametrize("given", ["a" * 242 + "@example.com", "a@b\n", "a@b\0", "ada", "", " ", 5, ["a@b"], None])
def test_what_cannot_be_an_address_is_none_and_none_is_cut(given: Any) -> None:
    longest = "a" * 242 + "@example.com"
    assert read({"email": longest, "email_verified": True}).verified_email == longest
    wrong = f"a{given}" if given == longest else given
    assert read({"email": wrong, "email_verified": True}).verified_email is None


@pytest.mark.parametrize("verified", [False, None, 0, "0", "false", "", "yes", 2, 1.0, [True], {"true": True}, "01"])
def test_an_address_is_not_verified_by_anything_else(verified: Any) -> None:
    assert read({"email": "ada@example.com", "email_verified": verified}).verified_email is None


def test_technicians_and_customers_need_no_name_and_services_of_a_provider_a_scope() -> None:
    assert read({"name": None}).name is None
    service = read({"role": "service", "https://x/scope": "chatbot"}, service_scope="https://x/scope")
    assert service.scope is ServiceScope.CHATBOT
    with pytest.raises(Unauthenticated, match='no claim "https://x/scope"'):
        read({"role": ["admin", "service"], "service_scope": "chatbot"}, service_scope="https://x/scope")
    assert bearer_of({"sub": "bot", "role": "service", "name": "Bot"}, OWN).scope is None
    with pytest.raises(Unauthenticated, match="https://x/scope"):
        read({"role": "admin", "https://x/scope": "chatbot"}, service_scope="https://x/scope")


def test_an_id_of_callout_is_read_only_where_the_settings_say_so() -> None:
    assert read({"sub": "tec_018f7c6e-0000-7000-8000-000000000000"}).id is None
    assert read({"callout": "tec_1"}, id="callout").id == "tec_1"
    with pytest.raises(Unauthenticated, match="callout"):
        read({"callout": 5}, id="callout")


def test_what_the_log_says_of_a_claim_is_one_short_line() -> None:
    for value in ("a\nb" * 100, ["x" * 1_000], {"a": "\n"}):
        with pytest.raises(Unauthenticated) as refused:
            read({"sub": value})
        assert refused.value.reason is not None
        assert "\n" not in refused.value.reason
        assert len(refused.value.reason) < 200


def test_a_claim_that_is_nested_too_deeply_can_be_named_in_the_log() -> None:
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    assert said(nested) == "a list that is nested too deeply"
    while nested:  # Python frees such a list by recursion, too
        nested = nested.pop()


# Settings


def test_an_issuer_has_defaults() -> None:
    (issuer,) = parse_issuers(json.dumps(GOOD))
    assert (issuer.name, issuer.audience, issuer.audience_claim) == ("login.example.com", ("callout",), "aud")
    assert (issuer.algorithms, issuer.jwks_url, issuer.require) == (("RS256", "ES256"), None, {})
    assert issuer.claims == ClaimMapping()
    assert not issuer.claims.link_by_email


def test_there_may_be_several_issuers() -> None:
    other = GOOD | {"issuer": "https://other.example.com", "audience": ["a", "b"]}
    assert [each.audience for each in parse_issuers(json.dumps([GOOD, other]))] == [("callout",), ("a", "b")]


BAD: dict[str, tuple[Any, str]] = {
    "no issuers": ([], "must have 1 to 20 issuers"),
    "too many": ([GOOD | {"issuer": f"https://{n}.test"} for n in range(21)], "must have 1 to 20 issuers"),
    "no object": ([5], "issuer 1 must be a JSON object"),
    "no issuer": ({"audience": "a"}, "issuer 1, issuer is missing"),
    "no audience": ({"issuer": "https://a.test"}, "issuer 1, audience is missing"),
    "an empty audience": (GOOD | {"audience": []}, "issuer 1, audience"),
    "a blank audience": (GOOD | {"audience": [""]}, "issuer 1, audience.0"),
    "a misspelt name": (GOOD | {"audiance": "a"}, "issuer 1, audiance is no setting; is it audience?"),
    "a misspelt claim": (GOOD | {"claims": {"emial": "a"}}, "issuer 1, claims.emial is no setting; is it email?"),
    "a symmetric algorithm": (GOOD | {"algorithms": ["HS256"]}, "issuer 1, algorithms.0"),
    "no algorithm at all": (GOOD | {"algorithms": ["none"]}, "issuer 1, algorithms.0"),
    "an issuer that is no URL": (GOOD | {"issuer": "callout"}, "issuer 1, issuer must be a URL"),
    "an issuer with a query": (GOOD | {"issuer": "https://a.test/?x=1"}, "issuer 1, issuer must be a URL"),
    "a password": (GOOD | {"issuer": "https://a:b@a.test/"}, "issuer 1, issuer must be a URL"),
    "a JWKS URL that is none": (GOOD | {"jwks_url": "file:///etc/passwd"}, "issuer 1, jwks_url must be a URL"),
    "an admin by default": (GOOD | {"claims": {"default_role": "admin"}}, "must be technician or customer: anybody"),
    "a service by default": (GOOD | {"claims": {"default_role": "service"}}, "must be technician or customer: anybody"),
    "an unknown role": (GOOD | {"claims": {"roles": {"a": "boss"}}}, "claims.roles.a must be one of admin, technician"),
    "a role in capitals": (GOOD | {"claims": {"roles": {"a": "ADMIN"}}}, "claims.roles.a must be one of admin"),
    "no claim of the role": (GOOD | {"claims": {"role": []}}, "claims.role must name a claim"),
    "a switch that is a text": (
        GOOD | {"claims": {"link_by_email": "yes"}},
        "claims.link_by_email should be a valid bool",
    ),
    "addresses of which one may not be verified": (
        GOOD | {"claims": {"email": ["email", "upn"], "link_by_email": True}},
        "claims.link_by_email needs a single claim each",
    ),
    "a name like an id": (GOOD | {"name": "tec_1"}, "name must have letters"),
    "a name with a colon": (GOOD | {"name": "a:b"}, "name must have letters"),
    "two of one issuer": ([GOOD, GOOD | {"name": "b"}], "several issuers have the issuer https://login.example.com/"),
    "two of one name": ([GOOD, GOOD | {"issuer": "https://login.example.com/2"}], "have the name login.example.com"),
}


@pytest.mark.parametrize(("given", "problem"), BAD.values(), ids=BAD.keys())
def test_unsafe_or_misspelt_settings_are_refused_with_their_place(given: Any, problem: str) -> None:
    with pytest.raises(ValueError, match="issuer") as refused:
        parse_issuers(json.dumps(given))
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not JSON: "),
        ("[" * 100_000, "nested too deeply"),
        ("https://login.example.com/", "is not JSON: Expecting value, line 1, column 1"),
    ],
)
def test_what_is_no_json_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_issuers(text)
    with pytest.raises(ValueError, match=r"is not JSON|nested too deeply"):
        parse_claims(text)
