"""Support settings, whose webhook is a secret that is never returned; and API keys, which are shown once."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.helpers.api import Api, Refusal, Server
from tests.helpers.database_checks import Database, dump

SETTINGS = "supportSettings { adminRecipients googleChatEnabled googleChatConfigured updatedAt }"
KEY = "apiKey { id name prefix createdAt revokedAt }"


def webhook() -> str:
    return f"https://chat.googleapis.com/v1/spaces/AAA/messages?key=k&token={secrets.token_urlsafe(24)}"


async def set_to(api: Api, **given: Any) -> Any:
    return (await api.done("supportSettingsUpdate", SETTINGS, **given))["supportSettings"]


@pytest.fixture
async def bare(api: Api) -> Api:
    """An admin's client, with all settings cleared."""
    await set_to(api, adminRecipients=[], googleChatEnabled=False, googleChatWebhookUrl=None)
    return api


# Settings


async def test_omitted_settings_are_unchanged(bare: Api) -> None:
    first = await set_to(bare, adminRecipients=["a@company.test", "b@company.test"])
    assert (first["adminRecipients"], first["googleChatEnabled"], first["googleChatConfigured"]) == (
        ["a@company.test", "b@company.test"],
        False,
        False,
    )
    second = await set_to(bare, googleChatWebhookUrl=webhook())
    assert second == first | {"googleChatConfigured": True, "updatedAt": second["updatedAt"]}
    third = await set_to(bare, googleChatEnabled=True)
    assert third == second | {"googleChatEnabled": True, "updatedAt": third["updatedAt"]}
    assert first["updatedAt"] < second["updatedAt"] < third["updatedAt"]
    assert (await bare(f"{{ {SETTINGS} }}"))["supportSettings"] == third


async def test_recipients_are_at_most_twenty_unique_addresses(bare: Api, database: Database) -> None:
    kept = await set_to(bare, adminRecipients=["A@company.test", "b@company.test", " a@COMPANY.test "])
    assert [address.lower() for address in kept["adminRecipients"]] == ["a@company.test", "b@company.test"]
    twenty = [f"admin{n}@company.test" for n in range(20)]
    assert (await set_to(bare, adminRecipients=twenty))["adminRecipients"] == twenty

    before = await dump(database)
    for recipients, objections in (
        ([*twenty, "one.more@company.test"], [("TOO_LONG", "adminRecipients")]),
        (
            ["good@company.test", "nobody", " ", "Ann <ann@company.test>", "a@b.test, c@d.test"],
            [
                ("INVALID", "adminRecipients.1"),
                ("REQUIRED", "adminRecipients.2"),
                ("INVALID", "adminRecipients.3"),
                ("INVALID", "adminRecipients.4"),
            ],
        ),
    ):
        assert await bare.refused("supportSettingsUpdate", "__typename", adminRecipients=recipients) == objections
    assert await dump(database) == before
    assert (await set_to(bare, adminRecipients=[]))["adminRecipients"] == []


async def test_null_clears_the_recipients_but_is_refused_for_switches(bare: Api) -> None:
    await set_to(bare, adminRecipients=["a@company.test"])
    assert (await set_to(bare, adminRecipients=None))["adminRecipients"] == []
    cleared: dict[str, Any] = {"googleChatEnabled": None}
    assert await bare.refused("supportSettingsUpdate", "__typename", **cleared) == [("REQUIRED", "googleChatEnabled")]


async def test_google_chat_cannot_be_enabled_without_a_webhook(bare: Api) -> None:
    needed = [("REQUIRED", "googleChatWebhookUrl")]
    assert await bare.refused("supportSettingsUpdate", "__typename", googleChatEnabled=True) == needed
    both: dict[str, Any] = {"googleChatEnabled": True, "googleChatWebhookUrl": None}
    assert await bare.refused("supportSettingsUpdate", "__typename", **both) == needed

    on = await set_to(bare, googleChatEnabled=True, googleChatWebhookUrl=webhook())
    assert (on["googleChatEnabled"], on["googleChatConfigured"]) == (True, True)
    cleared: dict[str, Any] = {"googleChatWebhookUrl": None}
    assert await bare.refused("supportSettingsUpdate", "__typename", **cleared) == needed
    assert await bare.refused("supportSettingsUpdate", "__typename", googleChatWebhookUrl=" ") == needed
    off: dict[str, Any] = {"googleChatEnabled": False, "googleChatWebhookUrl": None}
    assert (await set_to(bare, **off))["googleChatConfigured"] is False


async def test_concurrent_changes_do_not_enable_google_chat_without_a_webhook(bare: Api, database: Database) -> None:
    await set_to(bare, googleChatWebhookUrl=webhook())
    for _ in range(8):
        clear: dict[str, Any] = {"googleChatWebhookUrl": None}
        await asyncio.gather(
            bare.do("supportSettingsUpdate", "__typename", googleChatEnabled=True),
            bare.do("supportSettingsUpdate", "__typename", **clear),
        )
        row = await database.fetchrow("SELECT google_chat_enabled, google_chat_webhook_url FROM support_settings")
        assert row is not None
        assert not (row[0] and row[1] is None)
        await set_to(bare, googleChatEnabled=False, googleChatWebhookUrl=webhook())


NO_WEBHOOKS = [
    "http://chat.googleapis.com/v1/spaces/AAA",
    "chat.googleapis.com/v1/spaces/AAA",
    "https://",
    "https:///v1/spaces",
    "https://user:password@chat.googleapis.com/",
    "https://[::1/",
    "https://chat.googleapis.com:port/",
    "https://chat.goo gleapis.com/",
    "https://chat.googleapis.com/\nx",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https://127.0.0.1/v1/spaces",
    "https://127.1/v1/spaces",
    "https://0x7f.1/v1/spaces",
    "https://2130706433/v1/spaces",
    "https://localhost./v1/spaces",
    "https://[::ffff:169.254.169.254]/latest",
    "https://10.0.0.1:8443/",
]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        *((url, "INVALID") for url in NO_WEBHOOKS),
        ("https://chat.googleapis.com/" + "x" * 2000, "TOO_LONG"),
    ],
)
async def test_an_invalid_webhook_is_refused(bare: Api, database: Database, url: str, code: str) -> None:
    before = await dump(database)
    refused = await bare.refused("supportSettingsUpdate", "__typename", googleChatWebhookUrl=url)
    assert refused == [(code, "googleChatWebhookUrl")]
    assert await dump(database) == before


async def test_the_webhook_is_never_returned(bare: Api, server: Server) -> None:
    """Neither in a result, a user error, an error nor the log."""
    secret = webhook()
    token = secret[-24:]
    await set_to(bare, googleChatWebhookUrl=secret, googleChatEnabled=True)
    types = await bare("{ __schema { types { name fields { name } } } }")
    fields = {t["name"]: [f["name"] for f in t["fields"] or ()] for t in types["__schema"]["types"]}
    responses = [
        await bare.respond(f"{{ supportSettings {{ {' '.join(fields['SupportSettings'])} }} }}"),
        await bare.respond("{ supportSettings { googleChatWebhookUrl } }"),
        await bare.respond("{ __schema { types { name inputFields { name defaultValue } } } }"),
        types,
        await bare.do("supportSettingsUpdate", SETTINGS, adminRecipients=["a@company.test"]),
        await bare.do("supportSettingsUpdate", SETTINGS, googleChatWebhookUrl=None),
        await bare.do("supportSettingsUpdate", SETTINGS, googleChatWebhookUrl=f"{secret}\n{secret}"),
        await bare.do("supportSettingsUpdate", SETTINGS, googleChatWebhookUrl=secret, adminRecipients=["nobody"]),
        await bare.do("supportSettingsUpdate", SETTINGS, googleChatWebhookUrl="https://user@" + secret[8:]),
        await bare.do("supportSettingsUpdate", SETTINGS, googleChatWebhookUrl=secret + "x" * 2000),
    ]
    # The errors of an invalid request do not quote it either, because clients may log errors.
    document = "mutation($input: SupportSettingsUpdateInput!) { supportSettingsUpdate(input: $input) { __typename } }"
    for input in (
        {"googleChatWebhookUrl": [secret]},
        {"googleChatWebhookUrl": secret, "googleChatEnabled": "yes"},
        {"googleChatWebhookUrl": secret, "unknown": 1},
        {"googleChatWebhookUrl": secret, "adminRecipients": [None]},
        [secret],
        secret,
    ):
        response = await bare.respond(document, {"input": input})
        assert [error["extensions"]["code"] for error in response["errors"]] == ["BAD_USER_INPUT"]
        responses.append(response)
    assert token not in str(responses)
    assert token not in server.process.log()


async def test_settings_and_keys_are_forbidden_to_other_roles(bare: Api) -> None:
    technician, customer = await bare.new_technician(), await bare.new_customer()
    key = (await bare.done("apiKeyCreate", KEY, name="chatbot"))["apiKey"]
    async with bare.technician(technician) as tess, bare.customer(customer) as cora, bare.service() as chatbot:
        for viewer in (tess, cora, chatbot):
            for document in (
                f"{{ {SETTINGS} }}",
                "{ apiKeys { totalCount } }",
                "mutation { supportSettingsUpdate(input: {googleChatEnabled: false}) { __typename } }",
                'mutation { apiKeyCreate(input: {name: "mine"}) { secret } }',
                f'mutation {{ apiKeyRevoke(input: {{apiKeyId: "{key["id"]}"}}) {{ __typename }} }}',
            ):
                with pytest.raises(Refusal) as refusal:
                    await viewer(document)
                assert refusal.value.codes == ["FORBIDDEN"]


# API keys


async def ask(server: Server, secret: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        headers = {"authorization": f"Bearer {secret}"}
        return await client.post("/graphql", json={"query": "{ me { role name } }"}, headers=headers)


async def listed(api: Api) -> dict[str, Any]:
    keys = (await api("{ apiKeys(first: 100) { nodes { id name prefix createdAt revokedAt } } }"))["apiKeys"]["nodes"]
    return {key["id"]: key for key in keys}


async def test_a_key_is_shown_once_and_stored_as_a_hash(api: Api, server: Server, database: Database) -> None:
    made = await api.done("apiKeyCreate", f"secret {KEY}", name="Support chatbot")
    secret, key = made["secret"], made["apiKey"]
    assert secret.startswith(key["prefix"])
    assert len(secret) - len(key["prefix"]) >= 32
    assert (key["id"][:4], key["name"], key["revokedAt"]) == ("key_", "Support chatbot", None)
    assert (await listed(api))[key["id"]] == key

    answer = await ask(server, secret)
    assert answer.json()["data"]["me"] == {"role": "SERVICE", "name": "Support chatbot"}

    row = await database.fetchrow("SELECT secret_hash, api_keys::text FROM api_keys WHERE id = $1", key["id"][4:])
    assert row is not None
    assert row[0] == hashlib.sha256(secret.encode()).digest()
    kept = secret[len(key["prefix"]) :]
    tables = await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert ("api_keys",) in [tuple(name) for name in tables]
    for name in tables:
        assert kept not in str(await database.fetchval(f"SELECT string_agg(t::text, '') FROM {name[0]} t"))
    assert kept not in server.process.log()


async def test_each_key_is_different(api: Api) -> None:
    made = [await api.done("apiKeyCreate", f"secret {KEY}", name="one name") for _ in range(5)]
    assert len({key["secret"] for key in made}) == len({key["apiKey"]["id"] for key in made}) == 5


async def test_a_revoked_key_stops_working_and_stays_listed(api: Api, server: Server) -> None:
    made = await api.done("apiKeyCreate", f"secret {KEY}", name="gateway")
    key, secret = made["apiKey"], made["secret"]
    assert (await ask(server, secret)).status_code == 200

    revoked = (await api.done("apiKeyRevoke", KEY, apiKeyId=key["id"]))["apiKey"]
    assert datetime.fromisoformat(revoked["revokedAt"]) > datetime.fromisoformat(key["createdAt"])
    assert revoked == key | {"revokedAt": revoked["revokedAt"]}
    for _ in range(30):
        answer = await ask(server, secret)
        if answer.status_code == 401:
            break
        await asyncio.sleep(0.1)
    assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"

    # A second revocation changes nothing.
    assert (await api.done("apiKeyRevoke", KEY, apiKeyId=key["id"]))["apiKey"] == revoked
    assert (await listed(api))[key["id"]] == revoked


async def test_a_key_has_a_scope_an_expiry_and_a_creator(api: Api, server: Server) -> None:
    details = "apiKey { id name scope createdBy creatorSubject expiresAt lastUsedAt }"
    made = (await api.done("apiKeyCreate", details, name="bot"))["apiKey"]
    assert made == {
        "id": made["id"],
        "name": "bot",
        "scope": "CHATBOT",
        "createdBy": "The Boss",
        "creatorSubject": "boss",
        "expiresAt": None,
        "lastUsedAt": None,
    }
    later = "2200-01-01T00:00:00.000000+00:00"
    other = (await api.done("apiKeyCreate", details, name="mail", scope="MAIL_GATEWAY", expiresAt=later))["apiKey"]
    assert (other["scope"], other["expiresAt"]) == ("MAIL_GATEWAY", later)
    async with Api(server, subject="another", name="Another") as another:
        changed = await another.done("apiKeyUpdate", details, apiKeyId=made["id"], scope="MAIL_GATEWAY")
        assert changed["apiKey"] == made | {"scope": "MAIL_GATEWAY"}
    changed = await api.done("apiKeyUpdate", details, apiKeyId=other["id"], name="post", expiresAt=None)
    assert changed["apiKey"] == other | {"name": "post", "expiresAt": None}


async def test_the_last_use_of_a_key_is_shown(api: Api) -> None:
    made = await api.done("apiKeyCreate", "secret apiKey { id }", name="bot")
    async with api.with_token(made["secret"]) as bot:
        await bot("{ me { name } }")
    async with asyncio.timeout(20):
        while True:
            keys = (await api("{ apiKeys(first: 1) { nodes { id lastUsedAt createdAt } } }"))["apiKeys"]["nodes"]
            if keys[0]["lastUsedAt"] is not None:
                break
            await asyncio.sleep(0.05)
    assert keys[0]["id"] == made["apiKey"]["id"]
    assert keys[0]["lastUsedAt"] >= keys[0]["createdAt"]


async def test_a_key_cannot_lose_its_scope_expire_in_the_past_or_come_back(api: Api, database: Database) -> None:
    key = (await api.done("apiKeyCreate", KEY, name="bot"))["apiKey"]["id"]
    gone = (await api.done("apiKeyCreate", KEY, name="gone"))["apiKey"]["id"]
    await api.done("apiKeyRevoke", KEY, apiKeyId=gone)
    before = await dump(database)
    past = "2020-01-01T00:00:00Z"
    assert await api.refused("apiKeyCreate", name="x", scope=None) == [("REQUIRED", "scope")]
    assert await api.refused("apiKeyCreate", name="x", expiresAt=past) == [("INVALID", "expiresAt")]
    assert await api.refused("apiKeyUpdate", apiKeyId=key, scope=None) == [("REQUIRED", "scope")]
    assert await api.refused("apiKeyUpdate", apiKeyId=key, expiresAt=past) == [("INVALID", "expiresAt")]
    for change in ({"name": "x"}, {"scope": "CHATBOT"}, {"expiresAt": None}, {}):
        payload = await api.do("apiKeyUpdate", "apiKey { id }", apiKeyId=gone, **change)
        assert [error["code"] for error in payload["userErrors"]] == ["NOT_ALLOWED"]
        assert payload["apiKey"] == {"id": gone}
    assert await dump(database) == before


async def test_keys_are_listed_newest_first(api: Api) -> None:
    made = [(await api.done("apiKeyCreate", KEY, name=f"key {n}"))["apiKey"]["id"] for n in range(3)]
    assert list(await listed(api))[:3] == made[::-1]


async def test_a_key_does_not_see_tickets_of_another_key(api: Api, server: Server) -> None:
    made = [(await api.done("apiKeyCreate", "secret", name="same name"))["secret"] for _ in range(2)]
    async with api.service() as one, api.service() as other:
        for client, secret in zip((one, other), made, strict=True):
            client.http.headers["authorization"] = f"Bearer {secret}"
        ticket = await one.new_ticket()
        document = "query($id: ID!) { ticket(by: {id: $id}) { id } }"
        assert (await one(document, id=ticket))["ticket"] == {"id": ticket}
        assert (await other(document, id=ticket))["ticket"] is None


async def test_bad_keys_are_refused(api: Api, database: Database) -> None:
    before = await dump(database)
    for name, code in ((" ", "REQUIRED"), ("two\nlines", "INVALID"), ("x" * 201, "TOO_LONG")):
        payload = await api.do("apiKeyCreate", f"secret {KEY}", name=name)
        assert (payload["secret"], payload["apiKey"]) == (None, None)
        assert [(e["code"], e["field"]) for e in payload["userErrors"]] == [(code, ["input", "name"])]
    nobody = "key_00000000-0000-7000-8000-000000000000"
    assert await api.refused("apiKeyRevoke", apiKeyId=nobody) == [("NOT_FOUND", "apiKeyId")]
    assert await api.refused("apiKeyRevoke", apiKeyId="tkt" + nobody[3:]) == [("INVALID", "apiKeyId")]
    assert await dump(database) == before
