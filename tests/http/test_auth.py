"""Authentication: which credentials are accepted, for which viewer, and until when."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias, cast

import asyncpg
import httpx
import jwt
import pytest

from callout.auth import authenticator as auth
from callout.auth import jwks, key_uses, verifier
from callout.auth.authenticator import Authenticator
from callout.auth.issuers import parse_claims
from callout.auth.key_uses import KeyUses
from callout.auth.verifier import Verified
from callout.http.errors import AuthenticationUnavailable, Unauthenticated
from callout.settings import Settings
from db.enums import Role
from db.ids import new_id
from db.viewer import Viewer
from tests.helpers.api import Server
from tests.helpers.database_checks import until
from tests.helpers.issuer import EC_KEY, RSA_KEY, PrivateKey, issuer, public_jwk, public_pem
from tests.helpers.process import callout_process

ME = {"query": "{ me { role name } }"}

Database: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Statements: TypeAlias = "tuple[Any, list[str]]"

UNKNOWN = "The token's subject is not known here, or no longer."
NO_BEARER = "The Authorization header has no bearer token."


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, verify=False) as client:
        yield client


async def add_technician(database: Database, *, active: bool = True) -> str:
    key = new_id()
    await database.execute(
        "INSERT INTO technicians (id, name, email, active) VALUES ($1, 'Tess Wire', $2, $3)",
        key,
        f"{key}@x.test",
        active,
    )
    return key


async def add_customer(database: Database) -> str:
    key = new_id()
    await database.execute(
        "INSERT INTO customers (id, account_number, name, email) VALUES ($1, $2, 'Cora Bell', $3)",
        key,
        key,
        f"{key}@x.test",
    )
    return key


async def add_api_key(database: Database, expires_in: float | None = None) -> tuple[str, str]:
    """Returns the key's id and its secret. The key has no scope, as those from before there were scopes."""
    key, secret = new_id(), "callout_" + secrets.token_urlsafe(32)
    await database.execute(
        "INSERT INTO api_keys (id, name, prefix, secret_hash, expires_at)"
        " VALUES ($1, 'chatbot', $2, $3, now() + $4 * interval '1 second')",
        key,
        secret[:12],
        hashlib.sha256(secret.encode()).digest(),
        expires_in,
    )
    return key, secret


def claims(settings: Settings, **changed: object) -> dict[str, object]:
    """Returns the claims of an admin's valid token with `changed` applied; None removes a claim."""
    now = int(time.time())
    good = {
        "sub": "boss",
        "role": "admin",
        "name": "The Boss",
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "iat": now,
        "exp": now + 600,
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


def token(settings: Settings, **changed: object) -> str:
    assert settings.jwt_secret is not None
    return jwt.encode(claims(settings, **changed), settings.jwt_secret)


def by_hand(header: object, payload: object, secret: str, digest: str = "sha256") -> str:
    """Returns a token that no library would make, correctly signed with `secret`."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(secret.encode(), signed, digest)).rstrip(b"=")
    return (signed + b"." + signature).decode()


async def ask(client: httpx.AsyncClient, credential: str | None) -> httpx.Response:
    headers = {} if credential is None else {"authorization": f"Bearer {credential}"}
    return await client.post("/graphql", json=ME, headers=headers)


async def me(client: httpx.AsyncClient, credential: str) -> tuple[str, str]:
    """Returns the role and name of the viewer that the server derives from this token."""
    response = await ask(client, credential)
    assert response.status_code == 200, response.text
    viewer = response.json()["data"]["me"]
    return viewer["role"], viewer["name"]


def assert_refused(response: httpx.Response, status: int = 401, code: str = "UNAUTHENTICATED") -> str:
    """Returns the message of the refusal, after checking that the response reveals nothing else."""
    assert response.status_code == status, response.text
    (error,) = response.json()["errors"]
    assert error.keys() == {"message", "extensions"}
    assert error["extensions"] == {"code": code, "requestId": response.headers["x-request-id"]}
    if status == 401:
        assert response.headers["www-authenticate"] == 'Bearer realm="callout"'
    message: str = error["message"]
    return message


async def test_each_role_is_admitted_as_itself(server: Server, client: httpx.AsyncClient, database: Database) -> None:
    technician, customer = await add_technician(database), await add_customer(database)
    _, api_key = await add_api_key(database)
    settings = server.settings

    assert await me(client, token(settings)) == ("ADMIN", "The Boss")
    assert await me(client, token(settings, role="service", sub="gateway", name="Mail")) == ("SERVICE", "Mail")
    assert await me(client, api_key) == ("SERVICE", "chatbot")
    # The database's name of a person wins over the token's.
    assert await me(client, token(settings, role="technician", sub=f"tec_{technician}")) == ("TECHNICIAN", "Tess Wire")
    assert await me(client, token(settings, role="customer", sub=f"cus_{customer}", name=None)) == (
        "CUSTOMER",
        "Cora Bell",
    )


async def test_a_minted_token_is_accepted(server: Server, client: httpx.AsyncClient) -> None:
    minted = auth.mint(server.settings, role=Role.ADMIN, subject="boss", name="Mint", ttl=60)
    assert await me(client, minted) == ("ADMIN", "Mint")


async def test_the_scheme_is_case_insensitive_and_a_token_may_have_several_audiences(
    server: Server, client: httpx.AsyncClient
) -> None:
    several = token(server.settings, aud=["another", server.settings.jwt_audience])
    response = await client.post("/graphql", json=ME, headers={"authorization": f"bEARER {several}"})
    assert response.status_code == 200


async def test_small_clock_differences_are_tolerated(server: Server, client: httpx.AsyncClient) -> None:
    now = int(time.time())
    assert (await ask(client, token(server.settings, iat=now + 3, nbf=now + 3))).status_code == 200
    assert (await ask(client, token(server.settings, exp=now - 2))).status_code == 200


async def test_a_request_without_a_token_is_refused(client: httpx.AsyncClient) -> None:
    assert assert_refused(await ask(client, None)) == "A bearer token is required."


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        *((header, NO_BEARER) for header in ("", "Bearer", "Basic Ym9zczpzZWNyZXQ=", "Token x", "Bearer:x")),
        *((header, "The credentials are not valid.") for header in ("Bearer a b", "Bearer a.b,c", "Bearer ü")),
    ],
)
async def test_an_authorization_header_without_a_bearer_token_is_refused(
    client: httpx.AsyncClient, authorization: str, message: str
) -> None:
    headers = {b"authorization": authorization.encode("latin-1")}
    assert assert_refused(await client.post("/graphql", json=ME, headers=headers)) == message


def invalid(claim: str) -> str:
    return f'The token\'s claim "{claim}" is not valid.'


def missing(claim: str) -> str:
    return f'The token has no claim "{claim}".'


BAD_CLAIMS: dict[str, dict[str, Callable[[], dict[str, object]]]] = {
    "The token is of an issuer that this server does not know.": {
        "of another issuer": lambda: {"iss": "https://elsewhere.test"},
        "of an issuer with a longer name": lambda: {"iss": "callout.evil.test"},
    },
    "The token is not for this audience.": {
        "for another audience": lambda: {"aud": "elsewhere"},
        "for other audiences": lambda: {"aud": ["elsewhere", "callou", ""]},
        "for an audience that is no text": lambda: {"aud": {"callout": 1}},
    },
    "The token is not valid yet.": {
        "issued in the future": lambda: {"iat": time.time() + 60},
        "not valid yet": lambda: {"nbf": time.time() + 60},
    },
    "The credentials are not valid.": {
        "whose expiry is no time": lambda: {"exp": "soon"},
        "that never expires": lambda: {"exp": float("inf")},
    },
    **{
        missing(claim): {f"without {claim}": lambda claim=claim: {claim: None}}  # type: ignore[misc, dict-item]
        for claim in ("sub", "role", "iss", "aud", "exp", "iat")
    },
    "The token has no role that this server knows.": {
        "of no known role": lambda: {"role": "root"},
        "of a role in capitals": lambda: {"role": "ADMIN"},
        "of an empty role": lambda: {"role": ""},
    },
    invalid("role"): {"of a role in a list": lambda: {"role": ["admin"]}},
    invalid("sub"): {
        "whose subject is a number": lambda: {"sub": 5},
        "whose subject is blank": lambda: {"sub": " "},
        "whose subject has a NUL": lambda: {"sub": "bo\0ss"},
        "whose subject has half a character": lambda: {"sub": "boss\ud800"},
        "whose subject is too long": lambda: {"sub": "b" * 201},
    },
    missing("name"): {"of an admin without a name": lambda: {"name": None}},
    invalid("name"): {
        "of an admin whose name is a number": lambda: {"name": 5},
        "of an admin with line breaks in the name": lambda: {"name": "The\nBoss"},
    },
    "The token's subject is not the id of a technician.": {
        "of a technician who is a customer": lambda: {"role": "technician", "sub": f"cus_{new_id()}"},
        "of a technician without a prefix": lambda: {"role": "technician", "sub": new_id()},
        "of a technician in capitals": lambda: {"role": "technician", "sub": f"tec_{new_id()}".upper()},
        "of a technician with a quote": lambda: {"role": "technician", "sub": f"tec_{new_id()}'"},
    },
    invalid("iat"): {
        "whose time of issue is a text": lambda: {"iat": str(int(time.time()))},
        "whose time of issue is a boolean": lambda: {"iat": True},
        "whose time of issue is a list": lambda: {"iat": [int(time.time())]},
        "whose time of issue is no number": lambda: {"iat": float("nan")},
    },
    invalid("exp"): {"whose expiry is a text": lambda: {"exp": str(int(time.time()) + 60)}},
    invalid("service_scope"): {
        "of an unknown scope": lambda: {"role": "service", "service_scope": "root"},
        "of a scope in capitals": lambda: {"role": "service", "service_scope": "CHATBOT"},
        "of two scopes": lambda: {"role": "service", "service_scope": "chatbot mail_gateway"},
        "of a scope in a list": lambda: {"role": "service", "service_scope": ["chatbot"]},
        "of an empty scope": lambda: {"role": "service", "service_scope": ""},
        "of an admin with a scope": lambda: {"service_scope": "chatbot"},
        "of a technician with a scope": lambda: {
            "role": "technician",
            "sub": f"tec_{new_id()}",
            "service_scope": "chatbot",
        },
    },
    UNKNOWN: {
        "of an unknown technician": lambda: {"role": "technician", "sub": f"tec_{new_id()}"},
        "of an unknown customer": lambda: {"role": "customer", "sub": f"cus_{new_id()}"},
    },
}
CASES = {name: (message, changed) for message, cases in BAD_CLAIMS.items() for name, changed in cases.items()}


@pytest.mark.parametrize(("message", "changed"), CASES.values(), ids=CASES.keys())
async def test_a_token_with_a_bad_claim_is_refused(
    server: Server, client: httpx.AsyncClient, message: str, changed: Callable[[], dict[str, object]]
) -> None:
    """And the bearer learns which one it is, because the signature is good."""
    assert assert_refused(await ask(client, token(server.settings, **changed()))) == message


async def test_of_a_forged_token_nobody_learns_what_is_wrong_with_its_claims(
    server: Server, client: httpx.AsyncClient
) -> None:
    for _, changed in CASES.values():
        forged = jwt.encode(claims(server.settings, **changed()), "x" * 40)
        assert assert_refused(await ask(client, forged)) == "The credentials are not valid."


DAY = 24 * 3600
ANY_NUMBER = 9 * 10**15


@pytest.mark.parametrize(
    ("iat", "exp", "good"),
    [
        (0, 30 * DAY, True),
        (-29 * DAY, DAY, True),
        (-29.5 * DAY, 0.5 * DAY, True),
        (0, 30 * DAY + 1, False),
        (-DAY, 29 * DAY + 1, False),
        (0, ANY_NUMBER, False),
        (0, float(ANY_NUMBER), False),
        (0, 10**400, False),
        (-ANY_NUMBER, 60, False),
        (-1e300, 60, False),
    ],
)
async def test_a_token_may_be_valid_for_thirty_days(
    server: Server, client: httpx.AsyncClient, iat: float, exp: float, good: bool
) -> None:
    """From the time of issue, and wherever now is between the two. A subject is used once: its revocation would
    count."""
    now = int(time.time())
    answer = await ask(client, token(server.settings, iat=now + iat, exp=now + exp))
    if good:
        assert answer.status_code == 200
    else:
        assert assert_refused(answer) == "The token is valid for longer than this server allows."


async def test_the_longest_validity_of_a_token_is_a_setting(server: Server) -> None:
    settings = server.settings.model_copy(update={"jwt_max_lifetime_days": 1})
    authenticator = Authenticator(settings, None)  # type: ignore[arg-type]
    now = int(time.time())
    assert await authenticator.authenticate(f"Bearer {token(settings, iat=now, exp=now + DAY)}")
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(f"Bearer {token(settings, iat=now, exp=now + DAY + 1)}")
    for seconds in (DAY + 1, 366 * DAY):
        with pytest.raises(ValueError, match="1 days at most"):
            auth.mint(settings, role=Role.ADMIN, subject="boss", name="Mint", ttl=seconds)
    await authenticator.close()


async def test_an_expired_token_is_refused_as_expired(server: Server, client: httpx.AsyncClient) -> None:
    expired = token(server.settings, exp=int(time.time()) - 10)
    assert assert_refused(await ask(client, expired)) == "The token has expired."


async def test_a_token_in_use_is_refused_once_it_expires(server: Server, client: httpx.AsyncClient) -> None:
    # The cached result must not outlive the token, so the leeway ends while the token is in use.
    ends = int(time.time()) + 3
    brief = token(server.settings, exp=ends - auth.LEEWAY_SECONDS)
    while time.time() < ends - 0.5:
        assert (await ask(client, brief)).status_code == 200 or time.time() > ends
        await asyncio.sleep(0.1)
    await asyncio.sleep(ends - time.time())
    assert assert_refused(await ask(client, brief)) == "The token has expired."


async def test_a_forged_token_is_not_reported_as_expired(server: Server, client: httpx.AsyncClient) -> None:
    forged = jwt.encode(claims(server.settings, exp=int(time.time()) - 10), "x" * 40)
    assert assert_refused(await ask(client, forged)) == "The credentials are not valid."


def forgeries(settings: Settings) -> dict[str, str]:
    assert settings.jwt_secret is not None
    secret, good = settings.jwt_secret, claims(settings)
    head, payload, signature = jwt.encode(good, secret).split(".")
    return {
        "signed by somebody else": jwt.encode(good, "x" * 40),
        "not signed": by_hand({"alg": "none"}, good, "").rpartition(".")[0] + ".",
        "not signed, in capitals": by_hand({"alg": "NONE"}, good, secret),
        "of no algorithm": by_hand({"typ": "JWT"}, good, secret),
        "of an algorithm that is a list": by_hand({"alg": ["HS256"]}, good, secret),
        "of another hash": by_hand({"alg": "HS512"}, good, secret, "sha512"),
        "of a key pair": jwt.encode(good, RSA_KEY, "RS256"),
        "of a key of its own": jwt.encode(good, RSA_KEY, "RS256", {"jwk": public_jwk(RSA_KEY), "kid": "own"}),
        "without its signature": f"{head}.{payload}.",
        "with another's payload": f"{head}.{payload[:-4]}AAAA.{signature}",
        "with padding": f"{head}.{payload}.{signature}=",
        "with junk in the signature": f"{head}.{payload}.{signature[:-1]}!{signature[-1]}",
        "of two parts": f"{head}.{payload}",
        "of four parts": f"{head}.{payload}.{signature}.{signature}",
        "with a header that is a list": by_hand([], good, secret),
        "with a header that is not JSON": by_hand(b"{", good, secret),
        "with a header without an end": by_hand(b"[" * 4_000, good, secret),
        "with a header that is a number of 5,000 digits": by_hand(b"9" * 5_000, good, secret),
        "with a critical extension": by_hand({"alg": "HS256", "crit": ["x"], "x": 1}, good, secret),
        "with a detached payload": by_hand({"alg": "HS256", "b64": False, "crit": ["b64"]}, good, secret),
        "with a key's name that is a number": by_hand({"alg": "HS256", "kid": 5}, good, secret),
        "whose payload is a list": by_hand({"alg": "HS256"}, [], secret),
        "whose payload is nested too deeply": by_hand({"alg": "HS256"}, b"[" * 4_000, secret),
        "whose payload is no text": by_hand({"alg": "HS256"}, b"\xff", secret),
        "of 9,000 characters": token(settings, name="B" * 6_700),
        "that is no API key: too short": "callout_" + "a" * 42,
        "that is no API key: unknown": "callout_" + "a" * 43,
        "that is no API key: too long": "callout_" + "a" * 44,
    }


async def test_forged_and_malformed_tokens_are_refused(server: Server, client: httpx.AsyncClient) -> None:
    for description, forged in forgeries(server.settings).items():
        try:
            assert assert_refused(await ask(client, forged)) == "The credentials are not valid."
        except AssertionError as error:
            raise AssertionError(f"a token {description}") from error
    several = by_hand(
        {"alg": "HS256"}, claims(server.settings) | {"iss": ["callout"]}, server.settings.jwt_secret or ""
    )
    assert assert_refused(await ask(client, several)) == "The token is of an issuer that this server does not know."


async def test_an_inactive_technician_is_refused(server: Server, client: httpx.AsyncClient, database: Database) -> None:
    technician = await add_technician(database, active=False)
    assert_refused(await ask(client, token(server.settings, role="technician", sub=f"tec_{technician}")))


async def test_a_technician_loses_access_within_a_second_of_deactivation_and_regains_it(
    server: Server, client: httpx.AsyncClient, database: Database
) -> None:
    technician = await add_technician(database)
    badge = token(server.settings, role="technician", sub=f"tec_{technician}")
    assert (await ask(client, badge)).status_code == 200

    await database.execute("UPDATE technicians SET active = false WHERE id = $1", technician)
    await asyncio.sleep(1.0)
    assert_refused(await ask(client, badge))

    await database.execute("UPDATE technicians SET active = true WHERE id = $1", technician)
    await asyncio.sleep(1.0)
    assert (await ask(client, badge)).status_code == 200


async def test_an_api_key_is_refused_within_a_second_of_its_revocation(
    client: httpx.AsyncClient, database: Database
) -> None:
    key, secret = await add_api_key(database)
    assert (await ask(client, secret)).status_code == 200
    await database.execute("UPDATE api_keys SET revoked_at = now() WHERE id = $1", key)
    await asyncio.sleep(1.0)
    assert_refused(await ask(client, secret))


# The rotation of a secret


async def test_both_secrets_check_tokens_and_the_current_one_signs_them(server: Server) -> None:
    settings = server.settings
    assert settings.jwt_secret is not None
    later = settings.model_copy(update={"jwt_secret": "n" * 40, "jwt_secret_previous": settings.jwt_secret})
    latest = settings.model_copy(update={"jwt_secret": "n" * 40})
    old, new = token(settings), token(later)
    minted = auth.mint(later, role=Role.ADMIN, subject="boss", name="Mint", ttl=60)
    jwt.decode(minted, "n" * 40, ["HS256"], audience=settings.jwt_audience)
    for chosen, accepted in ((settings, [old]), (later, [old, new, minted]), (latest, [new, minted])):
        authenticator = Authenticator(chosen, None)  # type: ignore[arg-type]
        for each in (old, new, minted):
            if each in accepted:
                assert (await authenticator.authenticate(f"Bearer {each}")).role is Role.ADMIN
            else:
                with pytest.raises(Unauthenticated, match="The credentials are not valid"):
                    await authenticator.authenticate(f"Bearer {each}")
        await authenticator.close()


async def test_every_secret_is_tried_whichever_has_signed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the time that it takes does not tell them apart; and the refusal is that of the secret that fits."""
    settings = server.settings.model_copy(update={"jwt_secret": "n" * 40, "jwt_secret_previous": "p" * 40})
    tried: list[object] = []
    decode = verifier.JWT.decode

    def counted(token: str, key: Any, *arguments: Any, **options: Any) -> Any:
        tried.append(key)
        return decode(token, key, *arguments, **options)

    monkeypatch.setattr(verifier.JWT, "decode", counted)
    authenticator = Authenticator(settings, None)  # type: ignore[arg-type]
    now = int(time.time())
    for secret, exp, refusal in (
        ("n" * 40, now + 60, None),
        ("p" * 40, now + 60, None),
        ("n" * 40, now - 60, "The token has expired."),
        ("p" * 40, now - 60, "The token has expired."),
        ("x" * 40, now + 60, "The credentials are not valid."),
        ("x" * 40, now - 60, "The credentials are not valid."),
    ):
        tried.clear()
        signed = jwt.encode(claims(settings, iat=now - 120, exp=exp), secret)
        if refusal is None:
            assert await authenticator.authenticate(f"Bearer {signed}")
        else:
            with pytest.raises(Unauthenticated, match=refusal):
                await authenticator.authenticate(f"Bearer {signed}")
        assert tried == ["n" * 40, "p" * 40]
    await authenticator.close()


async def test_a_previous_secret_is_for_hmac_alone(server: Server) -> None:
    """Neither the algorithm nor the name of the key that a token gives makes it more."""
    previous = public_pem(RSA_KEY)
    with issuer() as idp:
        idp.publish(first=RSA_KEY)
        settings = server.settings.model_copy(update={"jwt_secret_previous": "p" * 40, "jwt_jwks_url": idp.url})
        authenticator = Authenticator(settings, None)  # type: ignore[arg-type]
        good = claims(settings)
        assert await authenticator.authenticate(f"Bearer {by_hand({'alg': 'HS256'}, good, 'p' * 40)}")
        for forged in (
            by_hand({"alg": "HS256", "kid": "first"}, good, "p" * 40),
            by_hand({"alg": "HS512"}, good, "p" * 40, "sha512"),
            by_hand({"alg": "none"}, good, "").rpartition(".")[0] + ".",
            by_hand({"alg": "HS256"}, good, previous),
            jwt.encode(good, RSA_KEY, "RS256"),
        ):
            with pytest.raises(Unauthenticated):
                await authenticator.authenticate(f"Bearer {forged}")
        await authenticator.close()


# The expiry and the use of API keys


async def test_an_api_key_is_refused_once_it_has_expired(
    client: httpx.AsyncClient, database: Database, server: Server
) -> None:
    _, lasting = await add_api_key(database, expires_in=3600)
    _, brief = await add_api_key(database, expires_in=3)
    _, expired = await add_api_key(database, expires_in=-1)
    assert (await ask(client, brief)).status_code == (await ask(client, lasting)).status_code == 200
    assert assert_refused(await ask(client, expired)) == "The API key has expired."
    await asyncio.sleep(3)
    assert assert_refused(await ask(client, brief)) == "The API key has expired."
    assert (await ask(client, lasting)).status_code == 200


async def test_a_key_is_remembered_until_it_expires_at_most(
    server: Server, database: Database, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "monotonic", lambda: 1_000.0)
    monkeypatch.setattr(auth, "REMEMBER_SECONDS", 3_600.0)
    pool, _ = statements
    authenticator = Authenticator(server.settings, pool)
    for expires_in, latest in ((60.0, 1_060.0), (7_200.0, 4_600.0), (None, 4_600.0)):
        _, secret = await add_api_key(database, expires_in)
        await authenticator.authenticate(f"Bearer {secret}")
        _, until = authenticator._known[f"Bearer {secret}"]
        assert 1_000.0 < until <= latest
    await authenticator.close()


async def test_a_revoked_key_is_refused_like_an_unknown_one_even_if_it_has_expired(
    client: httpx.AsyncClient, database: Database
) -> None:
    key, secret = await add_api_key(database, expires_in=-1)
    await database.execute("UPDATE api_keys SET revoked_at = now() WHERE id = $1", key)
    for refused in (secret, "callout_" + "a" * 43):
        assert assert_refused(await ask(client, refused)) == "The credentials are not valid."


async def test_the_use_of_a_key_is_written_at_most_once_a_minute(
    client: httpx.AsyncClient, database: Database, statements: Statements
) -> None:
    used = "SELECT last_used_at FROM api_keys WHERE id = $1"
    key, secret = await add_api_key(database)
    unused, _ = await add_api_key(database)
    assert (await ask(client, secret)).status_code == 200
    await until(database, f"(SELECT last_used_at IS NOT NULL FROM api_keys WHERE id = '{key}')")
    first = await database.fetchval(used, key)
    uses = KeyUses(statements[0])
    writing = asyncio.create_task(uses.write())
    for ago, written in ((59, False), (61, True)):
        await database.execute(
            "UPDATE api_keys SET last_used_at = now() - $2 * interval '1 second' WHERE id = $1", key, ago
        )
        before = await database.fetchval(used, key)
        uses.note(key)
        uses.note(unused)  # whose row is written all the same
        await until(database, f"(SELECT last_used_at IS NOT NULL FROM api_keys WHERE id = '{unused}')")
        assert (await database.fetchval(used, key) != before) is written
        await database.execute("UPDATE api_keys SET last_used_at = NULL WHERE id = $1", unused)
        uses._noted_at.clear()
    assert first is not None
    writing.cancel()


async def test_noting_a_use_neither_waits_nor_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[str]] = []
    now = 0.0

    class Writing:
        async def execute(self, query: str, keys: list[str]) -> None:
            written.append(keys)
            if len(written) == 1:
                raise ConnectionRefusedError

    monkeypatch.setattr(key_uses, "monotonic", lambda: now)
    uses = KeyUses(Writing())  # type: ignore[arg-type]
    writing = asyncio.create_task(uses.write())
    noted = ((0.0, "a"), (0.5, "a"), (1.0, "b"), (60.5, "a"), (61.5, "a"), (61.9, "b"))
    for now, key in noted:  # noqa: B007 (the clock reads it)
        uses.note(key)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert written == [["a"], ["b"], ["a"]]
    assert not writing.done()  # a failure is only logged
    writing.cancel()


# The cache, tested from inside: over HTTP only its timing can be seen.


@pytest.fixture
async def statements(server: Server) -> AsyncIterator[Statements]:
    """Yields a pool of one connection and the list of statements that it has run."""
    ran: list[str] = []

    async def listen(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        connection.add_query_logger(lambda record: ran.append(record.query))

    async with asyncpg.create_pool(server.database_url, min_size=1, max_size=1, init=listen, reset=no_reset) as pool:
        yield pool, ran


async def no_reset(connection: object) -> None:
    """Keeps asyncpg from resetting connections: its statements would be counted too."""


async def test_concurrent_requests_share_one_look_up(
    server: Server, database: Database, statements: Statements
) -> None:
    pool, ran = statements
    key, secret = await add_api_key(database)
    authenticator = Authenticator(server.settings, pool)

    viewers = await asyncio.gather(*(authenticator.authenticate(f"Bearer {secret}") for _ in range(100)))
    assert set(viewers) == {Viewer(Role.SERVICE, key, "chatbot")}
    unknown = f"Bearer callout_{'x' * 43}"
    answers = await asyncio.gather(*(authenticator.authenticate(unknown) for _ in range(100)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unauthenticated}
    assert len(ran) == 2
    await authenticator.close()


async def test_a_cancelled_request_does_not_cancel_the_shared_look_up(
    server: Server, database: Database, statements: Statements
) -> None:
    pool, ran = statements
    _, secret = await add_api_key(database)
    authenticator = Authenticator(server.settings, pool)

    first = asyncio.create_task(authenticator.authenticate(f"Bearer {secret}"))
    second = asyncio.create_task(authenticator.authenticate(f"Bearer {secret}"))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).name == "chatbot"
    assert len(ran) == 1
    await authenticator.close()


async def test_the_cache_keeps_no_more_than_its_maximum(
    server: Server, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "REMEMBERED_MAX", 50)
    pool, _ = statements
    authenticator = Authenticator(server.settings, pool)
    headers = [f"Bearer {token(server.settings, sub=f'admin {number}')}" for number in range(200)]
    for number, header in enumerate(headers, 1):
        await authenticator.authenticate(header)
        assert len(authenticator._known) == min(number, 50)
    assert list(authenticator._known) == headers[-50:]
    await authenticator.close()


async def test_a_look_up_is_cached_for_a_second(
    server: Server, database: Database, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(auth, "monotonic", lambda: now)
    pool, ran = statements
    _, secret = await add_api_key(database)
    authenticator = Authenticator(server.settings, pool)
    for now, looked_up in ((0.0, 1), (0.9, 1), (1.1, 2), (2.0, 2), (2.2, 3)):  # noqa: B007 (the clock reads it)
        assert (await authenticator.authenticate(f"Bearer {secret}")).name == "chatbot"
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate(f"Bearer callout_{'x' * 43}")
        assert len(ran) == 2 * looked_up
    await authenticator.close()


async def test_expired_entries_are_evicted_by_the_next_insertion(
    server: Server, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(auth, "monotonic", lambda: now)
    pool, _ = statements
    authenticator = Authenticator(server.settings, pool)
    a, b, c, d = (f"Bearer {token(server.settings, sub=f'admin {name}')}" for name in "abcd")
    for now, header, remembered in (  # noqa: B007 (the clock reads it)
        (0.0, a, [a]),
        (0.5, b, [a, b]),
        (1.1, a, [b, a]),  # looked up again
        (1.6, c, [a, c]),
        (9.0, d, [d]),
    ):
        await authenticator.authenticate(header)
        assert list(authenticator._known) == remembered
    await authenticator.close()


async def test_a_database_failure_is_not_reported_as_bad_credentials(server: Server) -> None:
    async with asyncpg.create_pool(server.database_url, min_size=1, max_size=1) as pool:
        authenticator = Authenticator(server.settings, pool)  # type: ignore[arg-type]
    # The pool is closed now.
    with pytest.raises(AuthenticationUnavailable):
        await authenticator.authenticate(f"Bearer callout_{'x' * 43}")
    assert (await authenticator.authenticate(f"Bearer {token(server.settings)}")).role is Role.ADMIN
    await authenticator.close()


async def test_a_look_up_in_a_silent_database_times_out(
    server: Server, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "LOOKUP_SECONDS", 0.2)
    pool, _ = statements
    authenticator = Authenticator(server.settings, pool)
    async with pool.acquire():  # the pool's only connection
        started = time.monotonic()
        with pytest.raises(AuthenticationUnavailable):
            await authenticator.authenticate(f"Bearer callout_{'x' * 43}")
        assert time.monotonic() - started < 4
    await authenticator.close()


# Tokens of an issuer with a JWKS URL


def issued(settings: Settings, key: PrivateKey, kid: str | None, **changed: object) -> str:
    algorithm = "RS256" if key is RSA_KEY or not hasattr(key, "curve") else "ES256"
    return jwt.encode(claims(settings, **changed), key, algorithm, {"kid": kid} if kid else None)


async def test_issued_tokens_are_verified_through_silence_key_rotation_and_outage(
    server: Server, tmp_path: Path
) -> None:
    """The steps share one server, because each must wait out the issuer's cooldown."""
    with (
        issuer() as idp,
        callout_process(tmp_path, database_url=server.database_url, jwt_jwks_url=idp.url) as process,
    ):
        settings = Settings(jwt_jwks_url=idp.url)
        async with httpx.AsyncClient(base_url=process.url, timeout=20) as client:
            # The issuer hangs: requests that need it fail soon, and no other request waits.
            idp.behaviour = "hangs"
            started = time.monotonic()
            asking = [asyncio.create_task(ask(client, issued(settings, RSA_KEY, f"key {n}"))) for n in range(10)]
            assert (await client.get("/healthz")).status_code == 200
            assert time.monotonic() - started < jwks.FETCH_SECONDS - 1
            for answer in await asyncio.gather(*asking):
                assert_refused(answer, 503, "AUTHENTICATION_UNAVAILABLE")
                assert answer.headers["retry-after"] == "1"
            assert time.monotonic() - started < jwks.FETCH_SECONDS + 3
            assert idp.asked == 1

            idp.behaviour = "well"
            idp.publish(first=RSA_KEY)
            await asyncio.sleep(jwks.COOLDOWN - jwks.FETCH_SECONDS)
            assert await me(client, issued(settings, RSA_KEY, "first")) == ("ADMIN", "The Boss")
            assert idp.asked == 2

            # A key published later is found after the cooldown. Until then, requests with invented key ids do not
            # reach the issuer.
            idp.publish(second=EC_KEY)
            for number in range(20):
                assert_refused(await ask(client, issued(settings, RSA_KEY, f"made-up {number}")))
            assert idp.asked == 2
            await asyncio.sleep(jwks.COOLDOWN)
            assert await me(client, issued(settings, EC_KEY, "second")) == ("ADMIN", "The Boss")
            assert idp.asked == 3
            assert_refused(await ask(client, issued(settings, RSA_KEY, "first")))

            # Each of these matches the key's id and part of its material.
            pem = public_pem(EC_KEY)
            good = claims(settings)
            for forged in (
                issued(settings, RSA_KEY, "second"),
                issued(settings, EC_KEY, None),
                by_hand({"alg": "HS256", "kid": "second"}, good, pem),
                by_hand({"alg": "HS256"}, good, pem),
                by_hand({"alg": "HS256", "kid": "second"}, good, json.dumps(public_jwk(EC_KEY))),
                by_hand({"alg": "none", "kid": "second"}, good, "").rpartition(".")[0] + ".",
                issued(settings, EC_KEY, "second", iss="https://elsewhere.test"),
                issued(settings, EC_KEY, "second", aud="elsewhere"),
            ):
                assert_refused(await ask(client, forged))

            # The issuer is down: known keys still work, and unknown ones can be neither accepted nor rejected.
            idp.behaviour = "fails"
            await asyncio.sleep(jwks.COOLDOWN)
            assert_refused(await ask(client, issued(settings, RSA_KEY, "third")), 503, "AUTHENTICATION_UNAVAILABLE")
            assert await me(client, issued(settings, EC_KEY, "second")) == ("ADMIN", "The Boss")
            assert idp.asked == 4


async def test_a_secret_and_an_issuer_each_verify_only_their_own_tokens(server: Server) -> None:
    """A token with a key id is verified only with the issuer's keys, never with the secret, whether or not the issuer
    has that key."""
    with issuer() as idp:
        idp.publish(first=RSA_KEY, second=EC_KEY)
        settings = server.settings.model_copy(update={"jwt_jwks_url": idp.url})
        assert settings.jwt_secret is not None
        authenticator = Authenticator(settings, None)  # type: ignore[arg-type]  # admins are not looked up
        good, secret = claims(settings), settings.jwt_secret
        for admitted in (issued(settings, RSA_KEY, "first"), issued(settings, EC_KEY, "second"), token(settings)):
            assert (await authenticator.authenticate(f"Bearer {admitted}")).role is Role.ADMIN
        for description, forged in {
            "of a known name, with the secret": by_hand({"alg": "HS256", "kid": "first"}, good, secret),
            "of an unknown name, with the secret": by_hand({"alg": "HS256", "kid": "third"}, good, secret),
            "of an empty name, with the secret": by_hand({"alg": "HS256", "kid": ""}, good, secret),
            "of an unknown name": issued(settings, RSA_KEY, "third"),
            "of another key's name": issued(settings, RSA_KEY, "second"),
            "of another case of a name": issued(settings, RSA_KEY, "First"),
            "of no name, with an issuer's key": issued(settings, RSA_KEY, None),
            "unsigned": by_hand({"alg": "none"}, good, "").rpartition(".")[0] + ".",
            "unsigned, of a known name": by_hand({"alg": "none", "kid": "first"}, good, "").rpartition(".")[0] + ".",
            "with the public key as a secret": by_hand({"alg": "HS256"}, good, public_pem(RSA_KEY)),
            "with the public key as the secret of its name": by_hand(
                {"alg": "HS256", "kid": "first"}, good, public_pem(RSA_KEY)
            ),
            "of an algorithm that its key is not for": jwt.encode(good, RSA_KEY, "RS512", {"kid": "first"}),
            "of a padding that is not taken": jwt.encode(good, RSA_KEY, "PS256", {"kid": "first"}),
            "of a known name, for another audience": issued(settings, RSA_KEY, "first", aud="elsewhere"),
            "of a known name, of another issuer": issued(settings, RSA_KEY, "first", iss="elsewhere"),
        }.items():
            with pytest.raises(Unauthenticated):
                await authenticator.authenticate(f"Bearer {forged}")
                pytest.fail(f"a token {description} is taken")
        await authenticator.close()


async def test_without_an_issuer_a_key_id_is_ignored(server: Server) -> None:
    authenticator = Authenticator(server.settings, None)  # type: ignore[arg-type]
    named = by_hand({"alg": "HS256", "kid": "first"}, claims(server.settings), server.settings.jwt_secret or "")
    assert (await authenticator.authenticate(f"Bearer {named}")).role is Role.ADMIN
    await authenticator.close()


async def test_without_a_secret_only_issued_tokens_are_accepted() -> None:
    with issuer() as idp:
        idp.publish(first=RSA_KEY)
        settings = Settings(jwt_jwks_url=idp.url, jwt_secret=None)
        authenticator = Authenticator(settings, None)  # type: ignore[arg-type]
        assert (await authenticator.authenticate(f"Bearer {issued(settings, RSA_KEY, 'first')}")).role is Role.ADMIN
        for secret in ("", "x" * 40, public_pem(RSA_KEY)):
            with pytest.raises(Unauthenticated):
                await authenticator.authenticate(f"Bearer {by_hand({'alg': 'HS256'}, claims(settings), secret)}")
        with pytest.raises(ValueError, match="no secret"):
            auth.mint(settings, role=Role.ADMIN, subject="boss", name="Mint", ttl=60)
        await authenticator.close()


@pytest.mark.parametrize(
    ("claim", "seconds", "good"),
    [
        *(("exp", seconds, good) for seconds, good in ((-4, True), (-6, False))),
        *(("nbf", seconds, good) for seconds, good in ((4, True), (7, False), (-3_600, True))),
        *(("iat", seconds, good) for seconds, good in ((4, True), (7, False), (-3_600, True))),
    ],
)
async def test_time_claims_have_a_leeway_of_five_seconds(server: Server, claim: str, seconds: int, good: bool) -> None:
    authenticator = Authenticator(server.settings, None)  # type: ignore[arg-type]
    made = token(server.settings, **{claim: int(time.time()) + seconds})
    if good:
        assert (await authenticator.authenticate(f"Bearer {made}")).role is Role.ADMIN
    else:
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate(f"Bearer {made}")
    await authenticator.close()


async def test_a_verified_token_is_cached_for_a_second_or_until_it_expires(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0
    monkeypatch.setattr(auth, "monotonic", lambda: 1_000.0 + passed)
    authenticator = Authenticator(server.settings, None)  # type: ignore[arg-type]
    verified: list[str] = []
    verify = authenticator._verify

    async def counted(token: str) -> Verified:
        verified.append(token)
        return await verify(token)

    monkeypatch.setattr(authenticator, "_verify", counted)
    lasting = f"Bearer {token(server.settings)}"
    for passed, times in ((0.0, 1), (0.9, 1), (1.0, 2), (1.9, 2), (2.1, 3)):
        await authenticator.authenticate(lasting)
        assert len(verified) == times, passed
    # A token that expires within the cache time, leeway included, is cached only until then.
    ends = int(time.time()) + 600
    for left, remembered in ((0.5, 0.5), (1.5, auth.REMEMBER_SECONDS)):
        brief = f"Bearer {token(server.settings, sub=f'boss {left}', exp=ends)}"
        with monkeypatch.context() as clock:
            clock.setattr(time, "time", lambda left=left: ends + auth.LEEWAY_SECONDS - left)
            await authenticator.authenticate(brief)
        _, until = authenticator._known[brief]
        assert until == pytest.approx(1_000.0 + passed + remembered)
        assert authenticator.validity(brief) == (ends + auth.LEEWAY_SECONDS, False)
    await authenticator.close()


@pytest.mark.parametrize("behaviour", ["fails", "redirects", "babbles", "floods"])
async def test_an_invalid_key_set_yields_no_keys(behaviour: Any) -> None:
    with issuer() as idp:
        idp.publish(first=RSA_KEY)
        idp.behaviour = behaviour
        keys = jwks.KeySet(idp.url)
        with pytest.raises(AuthenticationUnavailable):
            await keys.find("first")
        assert idp.asked == 1
        await keys.close()


async def test_only_signature_keys_of_the_supported_algorithms_are_accepted() -> None:
    with issuer() as idp:
        secret = base64.urlsafe_b64encode(b"s" * 32).decode()
        good = public_jwk(RSA_KEY)
        idp.keys = [
            {"kty": "oct", "k": secret, "kid": "symmetric"},
            {"kty": "oct", "k": secret, "kid": "symmetric, named", "alg": "HS256"},
            good | {"kid": "for encryption", "use": "enc"},
            good | {"kid": "of another algorithm", "alg": "PS256"},
            good | {"kid": "pretending", "alg": "HS256"},
            good | {"kid": 5},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "off the curve"},
            {"kty": "RSA", "kid": "empty"},
            "rubbish",
            None,
            good,
            good | {"kid": "good"},
        ]
        keys = jwks.KeySet(idp.url)
        found = {
            entry["kid"]: await keys.find(str(entry["kid"]))
            for entry in idp.keys
            if type(entry) is dict and "kid" in entry
        }
        assert [kid for kid, key in found.items() if key is not None] == ["good"]
        await keys.close()


async def test_keys_are_refreshed_and_withdrawn_keys_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0.0
    monkeypatch.setattr(jwks, "monotonic", lambda: time.monotonic() + passed)
    with issuer() as idp:
        idp.publish(first=RSA_KEY, second=EC_KEY)
        keys = jwks.KeySet(idp.url)
        assert await keys.find("first") and await keys.find("second")

        # The first lookup of a stale key starts a refresh in the background.
        passed += jwks.FRESH
        idp.publish(second=EC_KEY)
        assert await keys.find("first") is not None
        await settled(keys)
        assert await keys.find("first") is None
        assert await keys.find("second") is not None
        assert idp.asked == 2

        # While the issuer is down, the last keys are used for an hour and no longer.
        idp.behaviour = "fails"
        passed += jwks.STALE - 60
        assert await keys.find("second") is not None
        await settled(keys)
        passed += 120
        with pytest.raises(AuthenticationUnavailable):
            await keys.find("second")
        idp.behaviour = "well"
        passed += jwks.COOLDOWN
        assert await keys.find("second") is not None
        await keys.close()


async def test_the_issuer_is_queried_at_most_every_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0.0
    monkeypatch.setattr(jwks, "monotonic", lambda: 1_000.0 + passed)
    with issuer() as idp:
        idp.publish(first=RSA_KEY)
        keys = jwks.KeySet(idp.url)
        await asyncio.gather(*(keys.find(f"unknown {n}") for n in range(20)))
        assert idp.asked == 1  # for all of them
        for passed, asked in ((4.9, 1), (5.0, 2), (9.9, 2), (10.0, 3)):
            assert await keys.find("unknown") is None
            assert idp.asked == asked, passed
        # A known key needs no request for five minutes, and stays in use during the refresh that follows.
        for passed, asked in ((10.0 + jwks.FRESH - 0.1, 3), (10.0 + jwks.FRESH, 4)):
            assert await keys.find("first") is not None
            await settled(keys)
            assert idp.asked == asked, passed
        # A failed request counts too.
        idp.behaviour = "fails"
        passed += 5.0
        for waited, asked in ((0.0, 5), (4.9, 5), (0.1, 6)):
            passed += waited
            with pytest.raises(AuthenticationUnavailable):
                await keys.find("unknown")
            assert idp.asked == asked
        await keys.close()


async def test_the_last_keys_are_used_for_exactly_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0.0
    monkeypatch.setattr(jwks, "monotonic", lambda: 1_000.0 + passed)
    with issuer() as idp:
        idp.publish(first=RSA_KEY)
        keys = jwks.KeySet(idp.url)
        assert await keys.find("first") is not None
        idp.behaviour = "fails"
        passed = jwks.STALE - 0.1
        assert await keys.find("first") is not None
        await settled(keys)
        passed = jwks.STALE
        with pytest.raises(AuthenticationUnavailable):
            await keys.find("first")
        await keys.close()


async def settled(keys: jwks.KeySet) -> None:
    if keys._fetch is not None:
        await keys._fetch


# The claims of the issuer with a JWKS URL


async def test_a_claim_mapping_is_for_the_tokens_of_the_issuers_keys_alone(server: Server) -> None:
    """Those that are signed with the secret have the claims of Callout, as `callout token` makes them."""
    with issuer() as idp:
        idp.publish(first=RSA_KEY)
        mapping = parse_claims('{"role": "groups", "roles": {"staff": "admin"}, "name": "display"}')
        settings = server.settings.model_copy(update={"jwt_jwks_url": idp.url, "jwt_claims": mapping})
        authenticator = Authenticator(settings, None)  # type: ignore[arg-type]  # admins are not looked up
        mapped = issued(settings, RSA_KEY, "first", groups=["x", "staff"], display="Grace", role=None, name=None)
        viewer = await authenticator.authenticate(f"Bearer {mapped}")
        assert (viewer.role, viewer.id, viewer.name) == (Role.ADMIN, "boss", "Grace")
        assert (await authenticator.authenticate(f"Bearer {token(settings)}")).name == "The Boss"
        for refused in (issued(settings, RSA_KEY, "first"), token(settings, groups=["staff"], display="x", role=None)):
            with pytest.raises(Unauthenticated, match="has no claim"):
                await authenticator.authenticate(f"Bearer {refused}")
        await authenticator.close()


async def test_the_id_of_callout_is_read_where_the_mapping_says(server: Server, database: Database) -> None:
    technician = await add_technician(database)
    with issuer() as idp:
        idp.publish(first=RSA_KEY)
        mapping = parse_claims('{"id": "https://callout.test/id", "link_by_email": true}')
        settings = server.settings.model_copy(update={"jwt_jwks_url": idp.url, "jwt_claims": mapping})
        authenticator = Authenticator(settings, cast(Any, database))
        given = {"role": "technician", "sub": "auth0|1", "https://callout.test/id": f"tec_{technician}"}
        viewer = await authenticator.authenticate(f"Bearer {issued(settings, RSA_KEY, 'first', **given)}")
        assert (viewer.id, viewer.aliases) == (technician, ("auth0|1",))
        # A subject that looks like one is none.
        forged = {"role": "technician", "sub": f"tec_{technician}"}
        with pytest.raises(Unauthenticated, match="is not known here"):
            await authenticator.authenticate(f"Bearer {issued(settings, RSA_KEY, 'first', **forged)}")
        await authenticator.close()


async def test_a_linked_person_costs_one_statement_a_second(
    server: Server, database: Database, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0
    monkeypatch.setattr(auth, "monotonic", lambda: 1_000.0 + passed)
    technician = await add_technician(database)
    await database.execute(
        "INSERT INTO identities (id, issuer, subject, technician_id) VALUES ($1, 'callout', 'auth0|7', $2)",
        new_id(),
        technician,
    )
    pool, ran = statements
    with issuer() as idp:
        idp.publish(first=RSA_KEY)
        mapping = parse_claims('{"link_by_email": true}')
        settings = server.settings.model_copy(update={"jwt_jwks_url": idp.url, "jwt_claims": mapping})
        authenticator = Authenticator(settings, pool)
        badge = f"Bearer {issued(settings, RSA_KEY, 'first', role='technician', sub='auth0|7')}"
        for passed, statements_run in ((0.0, 1), (0.9, 1), (1.1, 2), (1.9, 2)):
            assert (await authenticator.authenticate(badge)).id == technician
            assert len(ran) == statements_run, passed
        # Somebody who is linked to nobody and has no address costs no more.
        nobody = f"Bearer {issued(settings, RSA_KEY, 'first', role='technician', sub='auth0|8')}"
        for _ in range(3):
            with pytest.raises(Unauthenticated, match="is not known here"):
                await authenticator.authenticate(nobody)
        assert len(ran) == 3
        await authenticator.close()
