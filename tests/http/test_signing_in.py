"""Signing in with the tokens of identity providers: whose are accepted, for whom, and what a refusal says."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import jwt
import pytest

from callout.auth import jwks
from callout.http.errors import AuthenticationUnavailable
from db.ids import new_id
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database
from tests.helpers.graphql_ws_client import WITHIN, live, socket
from tests.helpers.issuer import RSA_KEY, public_pem
from tests.helpers.providers import Provider, Providers, documented, providers

UNKNOWN = "The token's subject is not known here, or no longer."
REVOKED = "The token has been revoked."
INVALID = "The credentials are not valid."
UNKNOWN_ISSUER = "The token is of an issuer that this server does not know."
WRONG_AUDIENCE = "The token is not for this audience."
PERSON = "id issuer subject technician { id } customer { id } revokedAt"
ME = "{ me { role name technician { id } customer { id } } }"
TENANT = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
AT = "https://callout.example.com/"


# The claims of the tokens that each provider issues, as its documentation and its tokens have them.


def auth0(subject: str, roles: list[str], email: str) -> dict[str, Any]:
    return {
        "sub": f"auth0|{subject}",
        "aud": ["https://callout.example.com/graphql", "https://acme.eu.auth0.com/userinfo"],
        "azp": "my_client_id",
        "scope": "openid profile email",
        f"{AT}roles": roles,
        f"{AT}name": "Grace Hopper",
        f"{AT}email": email,
        f"{AT}email_verified": True,
    }


def keycloak(subject: str, roles: list[str], email: str) -> dict[str, Any]:
    return {
        "jti": "d58f5dc8-fd8f-462b-8a19-716f8f83985b",
        "aud": ["callout", "account"],
        "sub": subject,
        "typ": "Bearer",
        "azp": "dashboard",
        "acr": "1",
        "realm_access": {"roles": ["default-roles-acme", "offline_access", "uma_authorization", *roles]},
        "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
        "scope": "openid email profile",
        "sid": "2a88c258-f73a-4103-b862-e1fbd8f4e04e",
        "email_verified": True,
        "name": "Grace Hopper",
        "preferred_username": "grace",
        "email": email,
    }


def entra(subject: str, roles: list[str], email: str) -> dict[str, Any]:
    return {
        "aud": "11112222-bbbb-3333-cccc-4444dddd5555",
        "nbf": int(time.time()),
        "azp": "6731de76-14a6-49ae-97bc-6eba6914391e",
        "azpacr": "1",
        "name": "Grace Hopper",
        "oid": subject,
        "preferred_username": email,
        "roles": roles or None,
        "scp": "access_as_user",
        "sub": "pairwise-1fzzLd9Y7IYdPrpVLRHnOQ",
        "tid": TENANT,
        "uti": "fqiBqXLPj0eQa82S-IYFAA",
        "ver": "2.0",
        "email": email,
        "xms_edov": True,
    }


def entra_1(subject: str, roles: list[str], email: str) -> dict[str, Any]:
    claims = entra(subject, roles, email)
    return {**claims, "aud": "api://callout", "appid": claims["azp"], "azp": None, "ver": "1.0", "xms_edov": "1"}


def cognito(subject: str, roles: list[str], email: str) -> dict[str, Any]:
    return {
        "sub": subject,
        "aud": "4hq1a2b3c4d5e6f7g8h9i0j1k2",
        "cognito:groups": roles or None,
        "cognito:username": "grace",
        "email": email,
        "email_verified": True,
        "event_id": "64f513be-32db-42b0-b78e-b02127b4f463",
        "token_use": "id",
        "auth_time": int(time.time()),
        "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    }


def cognito_access(subject: str, roles: list[str], email: str) -> dict[str, Any]:
    return {
        "sub": subject,
        "client_id": "4hq1a2b3c4d5e6f7g8h9i0j1k2",
        "cognito:groups": roles or None,
        "token_use": "access",
        "scope": "openid",
        "username": "grace",
        "version": 2,
    }


def firebase(subject: str, roles: list[str], email: str) -> dict[str, Any]:
    return {
        "aud": "acme-support",
        "auth_time": int(time.time()),
        "user_id": subject,
        "sub": subject,
        "name": "Grace Hopper",
        "email": email,
        "email_verified": True,
        "firebase": {"identities": {"email": [email]}, "sign_in_provider": "password"},
        "role": roles[0] if roles else None,
    }


SHAPES = {
    # The provider's settings in the documentation, its path, the algorithm, the claims, and the names of the roles.
    "auth0": (documented("Auth0"), "/auth0/", "PS256", auth0, ("Dispatcher", "Technician")),
    "keycloak": (documented("Keycloak"), "/realms/acme", "ES256", keycloak, ("callout-admin", "callout-technician")),
    "entra": (
        documented("Microsoft Entra ID"),
        f"/{TENANT}/v2.0",
        "RS256",
        entra,
        ("Callout.Admin", "Callout.Technician"),
    ),
    "entra-1": (
        documented("Microsoft Entra ID") | {"name": "entra-1", "audience": "api://callout"},
        f"/{TENANT}/",
        "RS256",
        entra_1,
        ("Callout.Admin", "Callout.Technician"),
    ),
    "cognito": (
        documented("Amazon Cognito"),
        "/eu-central-1_Ab12Cd34E",
        "RS256",
        cognito,
        ("dispatchers", "technicians"),
    ),
    "cognito-access": (
        documented("Amazon Cognito", 1) | {"name": "cognito-access"},
        "/eu-central-1_Ab12Cd34F",
        "RS256",
        cognito_access,
        ("dispatchers", "technicians"),
    ),
    "firebase": (documented("Firebase"), "/acme-support", "RS256", firebase, ("admin", "technician")),
    "eddsa": (
        {"audience": "callout", "name": "eddsa", "claims": {"link_by_email": True, "default_role": "customer"}},
        "/eddsa",
        "EdDSA",
        firebase,
        ("admin", "technician"),
    ),
    "closed": ({"audience": "callout", "name": "closed"}, "/closed", "ES384", firebase, ("admin", "technician")),
}


WITHOUT_ADDRESS = ("cognito-access", "closed")
WITHOUT_DEFAULT_ROLE = ("entra", "entra-1", "closed")


class Login:
    """A provider as its users see it."""

    def __init__(self, provider: Provider, name: str) -> None:
        self.provider = provider
        self.shape = SHAPES[name][3]
        self.admin_role, self.technician_role = SHAPES[name][4]

    def token(self, subject: str, given_roles: list[str], address: str, **changed: Any) -> str:
        """A token for the account, with some claims changed. Each is another, because the server remembers them."""
        claims = self.shape(subject, given_roles, address) | {"jti": new_id()} | changed
        if self.shape is firebase and self.provider.settings["audience"] == "callout":
            claims["aud"] = "callout"
        return self.provider.token(claims)

    def as_admin(self, subject: str = "boss", **changed: Any) -> str:
        return self.token(subject, [self.admin_role], "boss@example.com", **changed)

    def as_technician(self, subject: str, address: str, **changed: Any) -> str:
        return self.token(subject, [self.technician_role], address, **changed)

    def as_customer(self, subject: str, address: str, **changed: Any) -> str:
        return self.token(subject, [], address, **changed)


@pytest.fixture(scope="module")
def known() -> Iterator[Providers]:
    with providers() as running:
        for settings, path, algorithm, _, _ in SHAPES.values():
            named = settings if algorithm in ("RS256", "ES256") else settings | {"algorithms": [algorithm]}
            running.add(path, named, algorithm)
        yield running


@pytest.fixture(scope="module")
def server_settings(known: Providers) -> dict[str, str]:
    return {"jwt_issuers": known.setting}


@pytest.fixture(scope="module")
def logins(known: Providers) -> dict[str, Login]:
    return {name: Login(provider, name) for name, provider in zip(SHAPES, known.all, strict=True)}


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, verify=False, trust_env=False, timeout=WITHIN) as client:
        yield client


async def ask(client: httpx.AsyncClient, token: str, document: str = ME) -> httpx.Response:
    return await client.post("/graphql", json={"query": document}, headers={"authorization": f"Bearer {token}"})


async def me(client: httpx.AsyncClient, token: str) -> dict[str, Any]:
    response = await ask(client, token)
    assert response.status_code == 200, response.text
    viewer: dict[str, Any] = response.json()["data"]["me"]
    return viewer


async def who(client: httpx.AsyncClient, token: str) -> str:
    """The id of the technician or customer whom the token admits."""
    viewer = await me(client, token)
    return str((viewer["technician"] or viewer["customer"])["id"])


async def refusal(client: httpx.AsyncClient, token: str, status: int = 401) -> str:
    response = await ask(client, token)
    assert response.status_code == status, response.text
    return str(response.json()["errors"][0]["message"])


async def reason(server: Server, client: httpx.AsyncClient, token: str) -> str:
    """What the access log says of the refusal of this token."""
    response = await ask(client, token)
    assert response.status_code in (401, 503), response.text
    async with asyncio.timeout(WITHIN):
        while True:
            for record in server.process.records("callout.access"):
                if record["requestId"] == response.headers["x-request-id"]:
                    assert token not in json.dumps(record)
                    return str(record["reason"])
            await asyncio.sleep(0.05)


async def identities(api: Api, **of: str) -> list[dict[str, Any]]:
    document = f"query($t: ID, $c: ID) {{ identities(technicianId: $t, customerId: $c) {{ nodes {{ {PERSON} }} }} }}"
    nodes: list[dict[str, Any]] = (await api(document, t=of.get("technician"), c=of.get("customer")))["identities"][
        "nodes"
    ]
    return nodes


def address() -> str:
    return f"{new_id()}@example.com"


# The five providers


@pytest.mark.parametrize("name", SHAPES)
async def test_each_providers_tokens_are_read(
    api: Api, client: httpx.AsyncClient, logins: dict[str, Login], name: str
) -> None:
    """An admin is one by the role; a technician and a customer are found by their verified address, or by the link that
    an admin has made where the token has none."""
    login = logins[name]
    admin = await me(client, login.as_admin())
    assert (admin["role"], bool(admin["name"])) == ("ADMIN", True)
    for role, sign_in, create in (
        ("technician", login.as_technician, api.new_technician),
        ("customer", login.as_customer, api.new_customer),
    ):
        email, subject = address(), new_id()
        person = await create(email=email.upper())
        if role == "customer" and name in WITHOUT_DEFAULT_ROLE:
            assert (await refusal(client, sign_in(subject, email))).startswith("The token has no claim")
            continue
        if name in WITHOUT_ADDRESS:
            assert await refusal(client, sign_in(subject, email)) == UNKNOWN
            account = {"issuer": login.provider.issuer, "subject": subject}
            await api.done("identityLink", "__typename", **account, person={f"{role}Id": person})
        assert await who(client, sign_in(subject, email)) == person
        (identity,) = await identities(api, **{role: person})
        assert identity[role]["id"] == person
        assert identity["issuer"] == login.provider.issuer
        assert subject in identity["subject"]


def missing(claim: str) -> str:
    return f'The token has no claim "{claim}".'


@pytest.mark.parametrize(
    ("name", "changed", "message", "why"),
    [
        ("auth0", {"aud": ["https://acme.eu.auth0.com/userinfo"]}, WRONG_AUDIENCE, "aud is ['https://acme.eu"),
        ("auth0", {"aud": None}, missing("aud"), "aud is missing"),
        ("auth0", {f"{AT}roles": [5]}, f'The token\'s claim "{AT}roles" is not valid.', "is [5], not a text"),
        ("keycloak", {"aud": "account"}, WRONG_AUDIENCE, 'aud is "account"; keycloak may name "callout"'),
        ("keycloak", {"name": None, "preferred_username": None}, missing("name"), "name is missing"),
        (
            "entra",
            {"tid": "72f988bf"},
            'The token\'s claim "tid" is not valid.',
            f'is "72f988bf"; entra requires "{TENANT}',
        ),
        (
            "entra",
            {"roles": ["Callout.Root"]},
            "The token has no role that this server knows.",
            "known are Callout.Admin",
        ),
        ("entra", {"roles": None}, missing("roles"), "roles is missing"),
        ("cognito", {"token_use": "access"}, 'The token\'s claim "token_use" is not valid.', 'is "access"'),
        ("cognito-access", {"client_id": None}, missing("client_id"), "client_id is missing"),
        ("cognito-access", {"client_id": "another"}, WRONG_AUDIENCE, 'client_id is "another"'),
        ("firebase", {"firebase": {"sign_in_provider": "anonymous"}}, "", 'firebase.sign_in_provider is "anonymous"'),
        ("firebase", {"firebase": None}, missing("firebase.sign_in_provider"), "is missing"),
        (
            "firebase",
            {"exp": 1_700_000_000, "iat": 1_699_990_000},
            "The token has expired.",
            "exp is 1700000000, and it is ",
        ),
        ("firebase", {"nbf": 4_000_000_000}, "The token is not valid yet.", "nbf 4000000000"),
        ("firebase", {"iat": None}, missing("iat"), "iat is missing"),
        (
            "firebase",
            {"exp": int(time.time()) + 86_400 * 40},
            "The token is valid for longer",
            "more than 30 days later",
        ),
        ("firebase", {"sub": "x" * 300}, 'The token\'s claim "sub" is not valid.', "sub is "),
        ("firebase", {"sub": None}, missing("sub"), "sub is missing"),
        ("firebase", {"iss": "https://securetoken.google.com/other"}, UNKNOWN_ISSUER, "google.com/other"),
    ],
    ids=range(20),
)
async def test_a_refusal_names_the_claim(
    server: Server,
    client: httpx.AsyncClient,
    logins: dict[str, Login],
    name: str,
    changed: dict[str, Any],
    message: str,
    why: str,
) -> None:
    """To the bearer as far as it is safe, and to the log with the value."""
    token = logins[name].as_admin(**changed)
    assert (await refusal(client, token)).startswith(message)
    assert why in await reason(server, client, token)


async def test_sockets_and_event_streams_say_the_same(
    server: Server, client: httpx.AsyncClient, logins: dict[str, Login]
) -> None:
    login = logins["keycloak"]
    for token, message in (
        (login.as_admin(aud="account"), WRONG_AUDIENCE),
        (login.as_admin(exp=1_700_000_000, iat=1_699_990_000), "The token has expired."),
        (login.as_technician("nobody", address()), UNKNOWN),
    ):
        headers = {"authorization": f"Bearer {token}"}
        async with socket(server.url) as opened:
            await opened.send(type="connection_init", payload=headers)
            assert await opened.closed() == (4403, f"Forbidden: {message}")
        response = await client.post("/graphql/stream", json={"query": ME}, headers=headers)
        assert (response.status_code, response.json()["errors"][0]["message"]) == (401, message)
    async with socket(server.url) as opened:
        await opened.send(type="connection_init", payload={"authorization": "Basic x"})
        assert await opened.closed() == (4403, "Forbidden: The Authorization header has no bearer token.")


# Whose signature


async def test_each_issuer_is_verified_with_its_own_keys_alone(
    server: Server, client: httpx.AsyncClient, logins: dict[str, Login]
) -> None:
    firebase_, cognito_, keycloak_ = (logins[name] for name in ("firebase", "cognito", "keycloak"))
    good = firebase("boss", ["admin"], "boss@example.com") | {"iat": int(time.time()), "exp": int(time.time()) + 60}
    of_firebase = good | {"iss": firebase_.provider.issuer}
    secret = server.settings.jwt_secret or ""
    own = {"sub": "boss", "role": "admin", "name": "x", "aud": "callout", "iat": good["iat"], "exp": good["exp"]}
    for description, forged in {
        "of another provider's key": jwt.encode(of_firebase, keycloak_.provider.key, "ES256", {"kid": "first"}),
        "with the server's secret": jwt.encode(of_firebase, secret, "HS256", {"kid": "first"}),
        "with the server's secret and no key": jwt.encode(of_firebase, secret, "HS256"),
        "with the public key as a secret": jwt.encode(
            of_firebase, public_pem(RSA_KEY)[26:90], "HS256", {"kid": "first"}
        ),
        "of an algorithm that is not the issuer's": jwt.encode(of_firebase, RSA_KEY, "RS512", {"kid": "first"}),
        "of a padding that is not the issuer's": jwt.encode(of_firebase, RSA_KEY, "PS256", {"kid": "first"}),
        "of no key": jwt.encode(of_firebase, RSA_KEY, "RS256"),
        "of an unknown key": jwt.encode(of_firebase, RSA_KEY, "RS256", {"kid": "second"}),
        "of a key that is a number": jwt.encode(of_firebase, RSA_KEY, "RS256", {"kid": ""}),
        "of the server itself, with a provider's key": jwt.encode(
            own | {"iss": "callout"}, RSA_KEY, "RS256", {"kid": "first"}
        ),
        "of nobody": jwt.encode(own, RSA_KEY, "RS256", {"kid": "first"}),
        "unsigned": jwt.encode(of_firebase, "", "none", {"kid": "first"}),
    }.items():
        assert await refusal(client, forged) == INVALID, description
    for odd in ("[" * 900 + "]" * 900, "5", "null", '{"a": 1}', '["RS256"]', '"\\ud800"', '"RS256\\n"'):
        for header in (f'{{"alg": {odd}, "kid": "first"}}', f'{{"alg": "RS256", "kid": {odd}}}'):
            parts = (header.encode(), json.dumps(of_firebase).encode(), b"signature")
            forged = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
            assert await refusal(client, forged) == INVALID, header
    # The same key, but the name of another: RSA_KEY signs for both, so only the claims differ.
    assert await refusal(client, cognito_.provider.token(good | {"token_use": "id"})) == WRONG_AUDIENCE
    logout = firebase_.provider.token(good, typ="logout+jwt")
    assert await refusal(client, logout) == "The token is not an access token."
    assert (await me(client, firebase_.provider.token(good, typ="at+jwt")))["role"] == "ADMIN"


async def test_the_admins_of_two_providers_are_different_people(
    server: Server, client: httpx.AsyncClient, logins: dict[str, Login], api: Api
) -> None:
    key = 'mutation { apiKeyCreate(input: {name: "k"}) { apiKey { creatorSubject } } }'
    subjects = []
    for name in ("keycloak", "firebase"):
        response = await ask(client, logins[name].as_admin("ada"), key)
        subjects.append(response.json()["data"]["apiKeyCreate"]["apiKey"]["creatorSubject"])
    assert subjects == ["keycloak:ada", "firebase:ada"]


async def test_several_roles_count_as_the_least(client: httpx.AsyncClient, logins: dict[str, Login], api: Api) -> None:
    login, email = logins["keycloak"], address()
    technician = await api.new_technician(email=email)
    both = login.token(new_id(), ["callout-admin", "callout-technician"], email)
    assert await who(client, both) == technician


# Linking


async def test_a_person_is_linked_once_and_stays_who_they_are(
    client: httpx.AsyncClient, logins: dict[str, Login], api: Api
) -> None:
    login, subject = logins["keycloak"], new_id()
    first, second = address(), address()
    customer, other = await api.new_customer(email=first), await api.new_customer(email=second)
    technician_email = address()
    technician = await api.new_technician(email=technician_email)
    assert await who(client, login.as_customer(subject, first)) == customer
    # The address at the provider changes, to that of other people.
    for email in (second, technician_email, address()):
        assert await who(client, login.as_customer(subject, email)) == customer
    assert await who(client, login.as_customer(subject, second, email_verified=False)) == customer
    # What they would need is another role, and then they are nobody.
    assert await refusal(client, login.as_technician(subject, technician_email)) == UNKNOWN
    assert (await identities(api, customer=other), await identities(api, technician=technician)) == ([], [])
    # Their address here changes, too.
    await api.done("customerUpdate", "__typename", customerId=customer, email=address())
    assert await who(client, login.as_customer(subject, first)) == customer
    (identity,) = await identities(api, customer=customer)
    entries = await api(
        "query($id: ID) { auditEntries(filter: {objectId: $id}) { nodes { action actorId objectKind"
        " changes { field after } client } } }",
        id=identity["id"],
    )
    (entry,) = entries["auditEntries"]["nodes"]
    assert (entry["action"], entry["objectKind"], entry["actorId"]) == ("CREATED", "IDENTITY", customer)
    assert entry["client"] == "127.0.0.1"
    after = {change["field"]: change["after"] for change in entry["changes"]}
    assert after == {"issuer": login.provider.issuer, "subject": subject, "customerId": customer}


@pytest.mark.parametrize("verified", [False, None, "false", 0, "0", "", [], [True], {"a": True}, "yes", 2, "01"])
async def test_an_unverified_address_links_nobody(
    client: httpx.AsyncClient, logins: dict[str, Login], api: Api, verified: Any
) -> None:
    email = address()
    technician = await api.new_technician(email=email)
    token = logins["keycloak"].as_technician(new_id(), email, email_verified=verified)
    assert await refusal(client, token) == UNKNOWN
    assert await identities(api, technician=technician) == []


async def test_a_second_account_with_the_address_is_not_linked(
    server: Server, client: httpx.AsyncClient, logins: dict[str, Login], api: Api
) -> None:
    login, email = logins["keycloak"], address()
    technician = await api.new_technician(email=email)
    # At the same time: one of them is.
    tokens = [login.as_technician(f"{n} {email}", email) for n in range(8)]
    answers = await asyncio.gather(*(ask(client, token) for token in tokens))
    assert sorted(answer.status_code for answer in answers) == [200, *[401] * 7]
    assert len(await identities(api, technician=technician)) == 1
    loser = next(token for token, answer in zip(tokens, answers, strict=True) if answer.status_code == 401)
    await asyncio.sleep(1.0)
    assert await refusal(client, loser) == UNKNOWN
    assert "is linked to another subject of this issuer" in await reason(server, client, loser)
    # At another provider it is a first sign-in.
    assert await who(client, logins["auth0"].as_technician("x", email)) == technician


async def test_the_same_subject_of_two_providers_is_two_people(
    client: httpx.AsyncClient, logins: dict[str, Login], api: Api
) -> None:
    subject, emails = new_id(), [address(), address()]
    people = [await api.new_technician(email=email) for email in emails]
    found = [
        await who(client, logins[name].as_technician(subject, email))
        for name, email in zip(("keycloak", "firebase"), emails, strict=True)
    ]
    assert found == people


async def test_only_people_with_access_are_linked_and_only_by_their_own_address(
    client: httpx.AsyncClient, logins: dict[str, Login], api: Api
) -> None:
    login = logins["keycloak"]
    inactive, erased, kelvin = address(), address(), f"{new_id()}k@example.com"
    technician = await api.new_technician(email=inactive)
    await api.done("technicianUpdate", "__typename", technicianId=technician, active=False)
    assert await refusal(client, login.as_technician(new_id(), inactive)) == UNKNOWN
    customer = await api.new_customer(email=erased)
    await api.done("customerErase", "__typename", customerId=customer)
    assert await refusal(client, login.as_customer(new_id(), erased)) == UNKNOWN
    await api.new_technician(email=kelvin)
    assert await refusal(client, login.as_technician(new_id(), kelvin.replace("k@", "\u212a@"))) == UNKNOWN
    # The role decides in which of the two they are looked for.
    email = address()
    await api.new_technician(email=email)
    assert await refusal(client, login.as_customer(new_id(), email)) == UNKNOWN
    for odd in ("", "@", "%@example.com", f"{email}\0", f"{email}, {email}", 5, [email]):
        assert await refusal(client, login.as_technician(new_id(), email, email=odd)) == UNKNOWN, odd


async def test_a_linked_person_loses_access_and_regains_it(
    client: httpx.AsyncClient, logins: dict[str, Login], api: Api
) -> None:
    login, email, subject = logins["keycloak"], address(), new_id()
    technician = await api.new_technician(email=email)
    token = login.as_technician(subject, email)
    assert await who(client, token) == technician
    for active in (False, True):
        await api.done("technicianUpdate", "__typename", technicianId=technician, active=active)
        await becomes(client, token, 200 if active else 401)


async def becomes(client: httpx.AsyncClient, token: str, status: int) -> str | None:
    """Waits until a request is answered so; returns the error's message."""
    async with asyncio.timeout(WITHIN):
        while (response := await ask(client, token)).status_code != status:  # noqa: ASYNC110 (there is no event)
            await asyncio.sleep(0.05)
    errors = response.json().get("errors")
    return None if errors is None else str(errors[0]["message"])


async def test_a_revoked_identity_is_refused_and_disconnected_and_linked_again_by_an_admin_alone(
    server: Server, client: httpx.AsyncClient, logins: dict[str, Login], api: Api
) -> None:
    login, email, subject = logins["keycloak"], address(), new_id()
    technician = await api.new_technician(email=email)
    issued = int(time.time()) - 60
    token = login.as_technician(subject, email, iat=issued)
    assert await who(client, token) == technician
    (identity,) = await identities(api, technician=technician)
    async with live(api.with_token(token)) as opened:
        revoked = await api.done("identityRevoke", f"identity {{ {PERSON} }}", identityId=identity["id"])
        assert revoked["identity"]["revokedAt"]
        assert await opened.closed() == (4403, "Forbidden")
    assert await becomes(client, token, 401) in (UNKNOWN, REVOKED)
    # Neither later tokens nor those of another account with the address.
    for name in (subject, new_id()):
        assert await refusal(client, login.as_technician(name, email, iat=time.time() + 4)) in (UNKNOWN, REVOKED)
    assert await identities(api, technician=technician) == [revoked["identity"]]
    # The same again changes nothing.
    again = await api.done("identityRevoke", f"identity {{ {PERSON} }}", identityId=identity["id"])
    assert again == revoked
    account = {"issuer": login.provider.issuer, "subject": subject}
    linked = await api.done("identityLink", f"identity {{ {PERSON} }}", **account, person={"technicianId": technician})
    assert linked["identity"] == identity
    # Those that were issued before stay revoked, as after `tokensRevoke`.
    assert await refusal(client, login.as_technician(subject, email, iat=issued)) == REVOKED
    async with asyncio.timeout(WITHIN):
        while (await ask(client, login.as_technician(subject, email))).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.5)


async def test_a_revoked_identity_stays_so_for_later_tokens(
    server: Server, client: httpx.AsyncClient, logins: dict[str, Login], api: Api, database: Database
) -> None:
    login, email, subject = logins["keycloak"], address(), new_id()
    technician = await api.new_technician(email=email)
    assert await who(client, login.as_technician(subject, email)) == technician
    (identity,) = await identities(api, technician=technician)
    # As if it had been revoked some time ago.
    await database.execute("UPDATE identities SET revoked_at = now() - interval '1 hour' WHERE subject = $1", subject)
    token = login.as_technician(subject, email)
    assert await refusal(client, token) == UNKNOWN
    assert f"{identity['id']}, is revoked" in await reason(server, client, token)
    other = login.as_technician(new_id(), email)
    assert await refusal(client, other) == UNKNOWN
    assert "only an admin links a further one" in await reason(server, client, other)


async def test_an_admin_links_accounts(client: httpx.AsyncClient, logins: dict[str, Login], api: Api) -> None:
    login = logins["closed"]
    account = {"issuer": login.provider.issuer, "subject": new_id()}
    customer, technician = await api.new_customer(), await api.new_technician()
    selection = f"identity {{ {PERSON} }}"
    made = await api.done("identityLink", selection, **account, person={"customerId": customer})
    assert await api.done("identityLink", selection, **account, person={"customerId": customer}) == made
    assert await who(client, login.as_customer(account["subject"], "x", role="customer")) == customer
    refused = await api.refused("identityLink", "__typename", **account, person={"technicianId": technician})
    assert refused == [("TAKEN", "subject")]
    # Several accounts of one customer.
    other = account | {"subject": new_id()}
    await api.done("identityLink", selection, **other, person={"customerId": customer})
    assert await who(client, login.as_customer(other["subject"], "x", role="customer")) == customer
    # Of somebody else, once it is revoked.
    await api.done("identityRevoke", "__typename", identityId=made["identity"]["id"])
    moved = await api.done("identityLink", selection, **account, person={"technicianId": technician})
    assert moved["identity"]["id"] == made["identity"]["id"]
    assert moved["identity"]["technician"] == {"id": technician}
    await api.done("technicianUpdate", "__typename", technicianId=technician, active=False)
    for person, expected in (
        ({"technicianId": technician}, ("INACTIVE", "person.technicianId")),
        ({"technicianId": f"tec_{new_id()}"}, ("NOT_FOUND", "person.technicianId")),
        ({"customerId": f"cus_{new_id()}"}, ("NOT_FOUND", "person.customerId")),
        ({"customerId": technician}, ("INVALID", "person.customerId")),
    ):
        account = {"issuer": login.provider.issuer, "subject": new_id()}
        assert await api.refused("identityLink", "__typename", **account, person=person) == [expected]


async def test_the_tokens_of_a_linked_person_are_revoked_by_their_id_and_by_the_subject(
    client: httpx.AsyncClient, logins: dict[str, Login], api: Api
) -> None:
    for provider, by_id in (("keycloak", True), ("keycloak", False), ("entra", False)):
        login, email, subject = logins[provider], address(), new_id()
        technician = await api.new_technician(email=email)
        token = login.as_technician(subject, email)
        assert await who(client, token) == technician
        await api.done("tokensRevoke", "__typename", subject=technician if by_id else subject)
        assert await becomes(client, token, 401) == REVOKED
    admin = logins["firebase"].as_admin("leaving")
    await me(client, admin)
    await api.done("tokensRevoke", "__typename", subject="firebase:leaving")
    assert await becomes(client, admin, 401) == REVOKED


async def test_an_erased_customer_leaves_no_identity(
    client: httpx.AsyncClient, logins: dict[str, Login], api: Api, database: Database
) -> None:
    login, email, subject = logins["keycloak"], address(), new_id()
    customer = await api.new_customer(email=email)
    token = login.as_customer(subject, email)
    assert await who(client, token) == customer
    (identity,) = await identities(api, customer=customer)
    await api.done("identityRevoke", "__typename", identityId=identity["id"])
    async with asyncio.timeout(WITHIN):
        while not (await api.done("customerErase", "done", customerId=customer))["done"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await becomes(client, token, 401) in (UNKNOWN, REVOKED)
    assert await identities(api, customer=customer) == []
    for table in ("identities", "audit_entries"):
        assert await database.fetchval(f"SELECT count(*) FROM {table} WHERE {table}::text LIKE $1", f"%{subject}%") == 0


# A provider that is away


async def test_a_provider_that_is_away_concerns_its_own_tokens_alone(
    server: Server, client: httpx.AsyncClient, logins: dict[str, Login]
) -> None:
    away = logins["eddsa"]
    away.provider.behaviour = "fails"
    away.provider.kid = "another"
    try:
        for number in range(5):
            assert "cannot be checked" in await refusal(client, away.as_admin(f"boss {number}"), 503)
            assert (await me(client, logins["keycloak"].as_admin()))["role"] == "ADMIN"
        assert await reason(server, client, away.as_admin()) == "the keys of eddsa cannot be read"
        lines = [record for record in server.process.records("callout.auth.jwks") if "eddsa" in record["message"]]
        assert [line["level"] for line in lines] == ["ERROR"]
    finally:
        away.provider.behaviour = "well"
    away.provider.rotate("another")
    assert await becomes(client, away.as_admin(), 200) is None


# Discovery


async def test_the_keys_are_where_the_configuration_says_and_are_found_again_when_they_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed = 0.0
    monkeypatch.setattr(jwks, "monotonic", lambda: time.monotonic() + passed)
    with providers() as running:
        provider = running.add("/realm", {})
        keys = jwks.KeySet(jwks.Discovery(provider.issuer))
        assert await keys.find("first")
        assert provider.asked == ["/realm/.well-known/openid-configuration", "/realm/jwks"]
        # Later the keys alone are fetched; unknown ones at most every five seconds.
        for kid in ("second", "third"):
            assert await keys.find(kid) is None
        passed += jwks.COOLDOWN
        provider.rotate("second")
        assert await keys.find("second")
        assert await keys.find("first") is None
        assert provider.asked[2:] == ["/realm/jwks"]
        # The configuration is read again after an hour.
        passed += jwks.DISCOVERED
        assert await keys.find("second")
        assert provider.asked[3:] == ["/realm/.well-known/openid-configuration", "/realm/jwks"]
        # And once the keys are no longer where they were.
        provider.configuration["jwks_uri"] = f"{provider.issuer}/moved"
        provider.behaviour = "fails"
        passed += jwks.COOLDOWN
        with pytest.raises(AuthenticationUnavailable):
            await keys.find("third")
        provider.behaviour = "well"
        provider.asked.clear()
        passed += jwks.COOLDOWN
        assert await keys.find("third") is None
        assert provider.asked == ["/realm/.well-known/openid-configuration", "/realm/moved"]
        await keys.close()


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_configuration_must_be_that_of_exactly_this_issuer(slash: str) -> None:
    with providers() as running:
        provider = running.add(f"/realm{slash}", {})
        for changed in (
            {"issuer": provider.issuer.rstrip("/") + ("" if slash else "/")},
            {"issuer": provider.issuer.upper()},
            {"issuer": None},
            {"issuer": [provider.issuer]},
            {"jwks_uri": None},
            {"jwks_uri": "file:///etc/passwd"},
            {"jwks_uri": "ftp://127.0.0.1/keys"},
        ):
            good = provider.configuration
            provider.configuration = good | changed
            keys = jwks.KeySet(jwks.Discovery(provider.issuer))
            with pytest.raises(AuthenticationUnavailable):
                await keys.find("first")
            assert len(provider.asked) == 1, changed  # the keys are not asked for
            await keys.close()
            provider.configuration = good
            provider.asked.clear()
        for nothing in ("x", 5, None):
            provider.configuration = nothing
            keys = jwks.KeySet(jwks.Discovery(provider.issuer))
            with pytest.raises(AuthenticationUnavailable):
                await keys.find("first")
            await keys.close()


def test_the_keys_of_an_https_issuer_are_not_fetched_by_http(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"issuer": "https://login.test", "jwks_uri": "http://login.test/keys"}
    monkeypatch.setattr(jwks, "download", lambda url, deadline: json.dumps(answer).encode())
    with pytest.raises(ValueError, match="no https URL of its keys"):
        jwks.Discovery("https://login.test").jwks_url(0)


@pytest.mark.parametrize("behaviour", ["fails", "redirects", "babbles", "floods"])
async def test_a_provider_that_misbehaves_yields_no_keys(behaviour: Any) -> None:
    with providers() as running:
        provider = running.add("/realm", {})
        provider.behaviour = behaviour
        keys = jwks.KeySet(jwks.Discovery(provider.issuer))
        with pytest.raises(AuthenticationUnavailable):
            await keys.find("first")
        assert len(provider.asked) == 1
        await keys.close()


async def test_a_provider_that_hangs_holds_up_nobody_else() -> None:
    """Each has a thread of its own, however many hang."""
    with providers() as running:
        hanging = [running.add(f"/{number}", {}) for number in range(40)]
        well = running.add("/well", {})
        for provider in hanging:
            provider.behaviour = "hangs"
        sets = [jwks.KeySet(jwks.Discovery(provider.issuer)) for provider in hanging]
        asking = [asyncio.create_task(keys.find("first")) for keys in sets]
        await asyncio.sleep(0)
        other = jwks.KeySet(jwks.Discovery(well.issuer))
        assert await other.find("first")
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(answer, AuthenticationUnavailable) for answer in answers)
        for keys in (*sets, other):
            await keys.close()


async def test_a_key_is_for_the_algorithms_that_fit_it() -> None:
    with providers() as running:
        provider = running.add("/realm", {})
        rsa = provider.jwk()
        ec = running.add("/ec", {}, "ES384").jwk()
        provider.keys = [
            rsa | {"kid": "any"},
            rsa | {"kid": "named", "alg": "PS256"},
            rsa | {"kid": "other", "alg": "RS512"},
            ec | {"kid": "curve"},
            rsa | {"kid": "twice", "alg": "RS256"},
            ec | {"kid": "twice"},
        ]
        keys = jwks.KeySet(f"{provider.issuer}/jwks", ("RS256", "PS256", "ES384"))
        found = {kid: set(await keys.find(kid) or ()) for kid in ("any", "named", "other", "curve", "twice")}
        assert found == {
            "any": {"RS256", "PS256"},
            "named": {"PS256"},
            "other": set(),
            "curve": {"ES384"},
            "twice": {"RS256", "ES384"},
        }
        await keys.close()
