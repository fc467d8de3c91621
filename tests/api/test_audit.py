"""The audit trail: every change is an entry, without secrets, and nobody changes an entry."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from db.enums import Role
from db.events import counts
from db.ids import new_id
from db.models import Base
from resolvers import audit
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, key, until
from tests.helpers.terminal import Terminal

ENTRIES = """query($filter: AuditFilter, $first: Int, $after: String) {
  auditEntries(filter: $filter, first: $first, after: $after) { totalCount pageInfo { endCursor } nodes {
    id action objectKind objectId actor { kind name } actorId client at changes { field before after }
} } }"""
WEBHOOK = "https://chat.googleapis.com/v1/spaces/A/messages?key=B&token=very-secret"
WEBHOOK_2 = WEBHOOK + "-2"


async def entries(api: Api, **filter: Any) -> list[dict[str, Any]]:
    """Returns the entries that match, oldest first."""
    found = await api(ENTRIES, filter=filter, first=100)
    nodes: list[dict[str, Any]] = found["auditEntries"]["nodes"][::-1]
    assert found["auditEntries"]["totalCount"] == len(nodes)
    return nodes


def changes(entry: dict[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    return {each["field"]: (each["before"], each["after"]) for each in entry["changes"]}


async def test_an_entry_says_who_when_from_where_and_what_before_and_after(api: Api) -> None:
    before = datetime.now(UTC)
    customer = await api.new_customer(name="Ada Byron", email="ada@audit.example", accountNumber="A-1")
    await api.done("customerUpdate", "__typename", customerId=customer, name="Ada King", phone="613-555-0100")
    created, updated = await entries(api, objectId=customer)
    assert before <= datetime.fromisoformat(created.pop("at")) <= datetime.now(UTC)
    assert created.pop("id") != updated.pop("id")
    assert created == {
        "action": "CREATED",
        "objectKind": "CUSTOMER",
        "objectId": customer,
        "actor": {"kind": "ADMIN", "name": "The Boss"},
        "actorId": "boss",
        "client": "127.0.0.1",
        "changes": [
            {"field": "accountNumber", "before": None, "after": "A-1"},
            {"field": "name", "before": None, "after": "Ada Byron"},
            {"field": "email", "before": None, "after": "ada@audit.example"},
        ],
    }
    assert updated["action"] == "UPDATED"
    assert changes(updated) == {"name": ("Ada Byron", "Ada King"), "phone": (None, "613-555-0100")}


async def test_each_kind_of_object_has_its_entries(api: Api) -> None:
    customer = await api.new_customer()
    site = await api.new_property(customer, address="1 Elm Street")
    await api.done("propertyUpdate", "__typename", propertyId=site, address="2 Elm Street")
    technician = await api.new_technician(name="Tess")
    await api.done("technicianUpdate", "__typename", technicianId=technician, active=False)
    ticket = await api.new_ticket(customerId=customer)
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="New battery.")
    from_ticket = await api.done("articleCreateFromTicket", "article { id }", ticketId=ticket)
    article = (await api.done("articleCreate", "article { id }", problem="It beeps", solution="Battery"))["article"]
    await api.done("articleUpdate", "__typename", articleId=article["id"], published=True)
    api_key = (await api.done("apiKeyCreate", "apiKey { id prefix }", name="Chatbot"))["apiKey"]
    await api.done("apiKeyUpdate", "__typename", apiKeyId=api_key["id"], scope="MAIL_GATEWAY", name="Chatbot")
    await api.done("apiKeyRevoke", "__typename", apiKeyId=api_key["id"])

    async def shown(object_id: str) -> list[tuple[str, str, dict[str, Any]]]:
        return [(each["objectKind"], each["action"], changes(each)) for each in await entries(api, objectId=object_id)]

    assert (await shown(site))[1:] == [("PROPERTY", "UPDATED", {"address": ("1 Elm Street", "2 Elm Street")})]
    assert (await shown(site))[0][2]["customerId"] == (None, customer)
    assert (await shown(technician))[1:] == [("TECHNICIAN", "UPDATED", {"active": ("true", "false")})]
    assert (await shown(article["id"]))[1:] == [("ARTICLE", "UPDATED", {"published": ("false", "true")})]
    [(_, _, made)] = await shown(from_ticket["article"]["id"])
    assert made["sourceTicketId"] == (None, ticket)
    created, changed, revoked = await shown(api_key["id"])
    assert created == (
        "API_KEY",
        "CREATED",
        {
            "name": (None, "Chatbot"),
            "prefix": (None, api_key["prefix"]),
            "secretHash": (None, audit.SECRET),
            "scope": (None, "CHATBOT"),
            "creatorId": (None, "boss"),
            "creatorName": (None, "The Boss"),
        },
    )
    assert changed == ("API_KEY", "UPDATED", {"scope": ("CHATBOT", "MAIL_GATEWAY")})
    assert (revoked[1], list(revoked[2])) == ("REVOKED", ["revokedAt"])
    tickets = {each["objectKind"] for each in await entries(api)} - {kind.value for kind in audit.AUDITED.values()}
    assert tickets == set()


async def test_settings_are_audited_and_their_secret_is_not_shown(api: Api, database: Database) -> None:
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=[], googleChatWebhookUrl=None)
    began = datetime.now(UTC).isoformat()
    for changed in (
        {"adminRecipients": ["a@audit.example"], "googleChatWebhookUrl": WEBHOOK},
        {"googleChatWebhookUrl": WEBHOOK_2},
        {"notices": [{"kind": "CREATED", "email": False}]},
        {"googleChatWebhookUrl": None},
    ):
        await api.done("supportSettingsUpdate", "__typename", **changed)
    found = [changes(each) for each in await entries(api, objectKind=["SUPPORT_SETTINGS"], at={"from": began})]
    assert found[0] == {
        "adminRecipients": ("[]", '["a@audit.example"]'),
        "googleChatWebhookUrl": (None, audit.SECRET),
    }
    assert found[1] == {"googleChatWebhookUrl": (audit.SECRET, audit.SECRET)}
    assert [list(each) for each in found[2:]] == [["emailKinds"], ["googleChatWebhookUrl"]]
    assert found[3] == {"googleChatWebhookUrl": (audit.SECRET, None)}
    assert await in_trail(database, "very-secret") == 0


async def test_a_key_is_not_in_its_entry(api: Api, database: Database) -> None:
    made = await api.done("apiKeyCreate", "apiKey { id } secret", name="Secretive")
    digest = await database.fetchval("SELECT secret_hash FROM api_keys WHERE id = $1", key(made["apiKey"]["id"]))
    for secret in (made["secret"], made["secret"][12:], digest.hex()):
        assert await in_trail(database, secret) == 0
    assert await in_trail(database, made["secret"][:12]) == 1


async def in_trail(database: Database, text: str) -> int:
    """Returns the number of entries that contain the text."""
    found: int = await database.fetchval(
        "SELECT count(*) FROM audit_entries WHERE strpos(to_jsonb(audit_entries.*)::text, $1) > 0", text
    )
    return found


def test_no_column_with_bytes_is_shown() -> None:
    """A digest is a secret. A new column with one must be added to the secrets."""
    for table in audit.AUDITED:
        for column in Base.metadata.tables[table.name].columns:
            assert "BYTEA" not in str(column.type) or column.name in audit.SECRETS, column


async def test_what_changes_nothing_has_no_entry(api: Api, database: Database) -> None:
    given = {"name": "Idle", "email": "idle@audit.example", "accountNumber": "I-1", "idempotencyKey": new_id()}
    customer = (await api.done("customerCreate", "customer { id }", **given))["customer"]["id"]
    api_key = (await api.done("apiKeyCreate", "apiKey { id }", name="Idle"))["apiKey"]["id"]
    await api.done("apiKeyRevoke", "__typename", apiKeyId=api_key)
    article = (await api.done("articleCreate", "article { id updatedAt }", problem="Idle", solution="x"))["article"]
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=["idle@audit.example"])
    before = await database.fetchval("SELECT count(*) FROM audit_entries")
    await api.done("customerCreate", "__typename", **given)
    await api.done("customerUpdate", "__typename", customerId=customer, name="Idle", phone=None)
    await api.done("customerUpdate", "__typename", customerId=customer)
    await api.done("apiKeyRevoke", "__typename", apiKeyId=api_key)
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=["idle@audit.example"])
    await api.done("supportSettingsUpdate", "__typename")
    same = await api.done("articleUpdate", "article { updatedAt }", articleId=article["id"], problem="Idle")
    assert same["article"]["updatedAt"] == article["updatedAt"]
    await api.refused("customerUpdate", customerId=customer, name="Busy", email="no address")
    await api.refused("customerCreate", **given | {"idempotencyKey": new_id()})
    await api.refused("technicianUpdate", technicianId=f"tec_{new_id()}", name="Nobody")
    await api.refused("apiKeyRevoke", apiKeyId=f"key_{new_id()}")
    assert await database.fetchval("SELECT count(*) FROM audit_entries") == before


async def test_concurrent_changes_make_a_chain_of_entries(api: Api) -> None:
    """Each entry has the object as the entry before it left it: no change between two entries is lost."""
    technician = await api.new_technician(name="0", phone="0")
    await asyncio.gather(
        *(
            api.done("technicianUpdate", "__typename", technicianId=technician, **{field: str(number)})
            for number in range(1, 13)
            for field in ("name", "phone")
        )
    )
    created, *updated = await entries(api, objectId=technician)
    state = {field: after for field, (_, after) in changes(created).items()}
    for entry in updated:
        for field, (before, after) in changes(entry).items():
            assert state[field] == before
            state[field] = after
    now = await api(f'{{ node(id: "{technician}") {{ ... on Technician {{ name phone }} }} }}')
    assert len(updated) == 24
    assert now["node"] == {"name": state["name"], "phone": state["phone"]}


async def test_entries_are_filtered_and_paged(api: Api) -> None:
    async with Api(api.server, Role.ADMIN, "other", "Another admin") as other:
        customer = await other.new_customer()
        site = await other.new_property(customer)
        await api.done("propertyUpdate", "__typename", propertyId=site, address="Filtered Street")

    async def found(**filter: Any) -> list[str]:
        return [each["objectId"] for each in await entries(api, **filter)]

    assert await found(actorId="other") == [customer, site]
    assert await found(actorId="Other") == []
    assert await found(actorId="other", objectKind=["PROPERTY", "TECHNICIAN"]) == [site]
    assert await found(objectId=site, action=["UPDATED"]) == [site]
    assert await found(objectId=site, actorKind=["TECHNICIAN", "SYSTEM"]) == []
    assert await found(objectId=site, actorKind=[]) == []
    assert await found(objectId="cus_unknown") == []
    [made, changed] = await entries(api, objectId=site)
    assert await found(objectId=site, at={"from": changed["at"]}) == [site]
    assert await found(objectId=site, at={"until": changed["at"]}) == [site]
    assert await found(objectId=site, at={"from": made["at"]}) == [site, site]
    first = (await api(ENTRIES, filter={"objectId": site}, first=1))["auditEntries"]
    assert first["nodes"] == [changed]
    rest = await api(ENTRIES, filter={"objectId": site}, first=1, after=first["pageInfo"]["endCursor"])
    assert rest["auditEntries"]["nodes"] == [made]


async def test_an_address_in_a_header_is_not_believed(api: Api) -> None:
    """The tests' requests come from 127.0.0.1, which uvicorn itself would take for a proxy."""
    forged = {"x-forwarded-for": "203.0.113.9", "forwarded": "for=203.0.113.9", "x-real-ip": "203.0.113.9"}
    document = 'mutation { technicianCreate(input: {name: "Forged", email: "forged@x.test"}) { technician { id } } }'
    made = (await api.http.post("/graphql", json={"query": document}, headers=forged)).json()
    [entry] = await entries(api, objectId=made["data"]["technicianCreate"]["technician"]["id"])
    assert entry["client"] == "127.0.0.1"


async def test_revoking_tokens_is_an_entry(api: Api) -> None:
    revoked = await api.done("tokensRevoke", "revokedAt", subject="charles")
    assert await api.refused("tokensRevoke", everyone=False)
    [entry] = await entries(api, objectId="charles")
    assert (entry["objectKind"], entry["action"], entry["actorId"]) == ("TOKEN", "REVOKED", "boss")
    shown = changes(entry)
    assert shown["everyone"] == (None, "false")
    assert shown["revokedAt"][0] is None
    assert datetime.fromisoformat(str(shown["revokedAt"][1])) == datetime.fromisoformat(revoked["revokedAt"])


# The command line


@pytest.fixture
def callout(server: Server, tmp_path: Path) -> Terminal:
    secret = server.settings.jwt_secret or ""
    return Terminal(database_url=server.database_url, data_dir=str(tmp_path), jwt_secret=secret)


@pytest.mark.parametrize(
    ("arguments", "subject", "role"),
    [
        (("--role", "admin", "--subject", "ada", "--ttl", "90s"), "ada", "ADMIN"),
        (("--role", "service"), "service", "SERVICE"),
    ],
)
async def test_issuing_a_token_is_an_entry(
    api: Api, callout: Terminal, database: Database, arguments: tuple[str, ...], subject: str, role: str
) -> None:
    token = (await asyncio.to_thread(callout, "token", *arguments)).stdout.strip()
    [entry] = await entries(api, objectId=subject)
    assert (entry["action"], entry["objectKind"], entry["client"]) == ("CREATED", "TOKEN", None)
    assert (entry["actor"]["kind"], entry["actorId"]) == ("SYSTEM", "command-line")
    assert entry["actor"]["name"].endswith(", by the command line")
    shown = changes(entry)
    assert shown.pop("scope", None) == ((None, "CHATBOT") if role == "SERVICE" else None)
    assert shown.keys() == {"role", "name", "expiresAt"}
    assert shown["role"] == (None, role)
    assert await in_trail(database, token.split(".")[1]) == 0


async def test_a_persons_tokens_are_found_by_their_id(api: Api, callout: Terminal) -> None:
    technician = await api.new_technician(name="Tess")
    issue = ("token", "--role", "technician", "--subject", technician, "--ttl", "1h")
    assert (await asyncio.to_thread(callout, *issue)).exit_code == 0
    created, issued = await entries(api, objectId=technician)
    assert (created["objectKind"], issued["objectKind"]) == ("TECHNICIAN", "TOKEN")
    expiry = datetime.fromisoformat(changes(issued)["expiresAt"][1] or "")
    assert timedelta(minutes=59) < expiry - datetime.now(UTC) < timedelta(minutes=61)


# Append-only


@pytest.mark.parametrize(
    ("statement", "trigger"),
    [
        ("UPDATE audit_entries SET after = NULL", "audit_entries_final"),
        ("UPDATE audit_entries SET actor_name = 'Somebody'", "audit_entries_final"),
        ("UPDATE audit_entries SET client = NULL", "audit_entries_final"),
        ("UPDATE audit_entries SET object_id = 'x', changed = '{}'", "audit_entries_final"),
        ("UPDATE audit_entries SET at = now()", "audit_entries_final"),
        ("UPDATE audit_entries SET action = 'UPDATED'", "audit_entries_final"),
        ("UPDATE audit_entries SET actor_kind = 'SYSTEM'", "audit_entries_final"),
        ("DELETE FROM audit_entries", "audit_entries_kept"),
        ("TRUNCATE audit_entries", "audit_entries_final"),
    ],
)
async def test_an_entry_is_neither_changed_nor_deleted(
    api: Api, database: Database, statement: str, trigger: str
) -> None:
    await api.new_technician()
    with pytest.raises(asyncpg.RestrictViolationError) as refused:
        await database.execute(statement)
    assert refused.value.constraint_name == trigger


FOLDED = "pg_visible_in_snapshot(xid, audit_fingerprinted)"


async def insert_old(database: Database, age: str) -> str:
    entry = new_id()
    await database.execute(
        "INSERT INTO audit_entries (id, at, action, object_kind, actor_kind, actor_id, actor_name, changed)"
        f" VALUES ($1, now() - interval '{age}', 'CREATED', 'TOKEN', 'ADMIN', 'boss', 'The Boss', '{{}}')",
        entry,
    )
    return entry


async def test_pruning_deletes_entries_that_are_older_than_a_day(database: Database) -> None:
    old, young = await insert_old(database, "25 hours"), await insert_old(database, "23 hours")
    await counts.fold(database)
    await until(database, f"bool_and({FOLDED}) FROM audit_entries, event_log")  # a server may be folding

    async def prune(entry: str) -> None:
        async with database.transaction():
            await database.execute("SET LOCAL callout.pruning = 'audit_entries'")
            await database.execute("DELETE FROM audit_entries WHERE id = $1", entry)

    with pytest.raises(asyncpg.RestrictViolationError):
        await prune(young)
    xid = await database.fetchval("SELECT xid::text::bigint FROM audit_entries WHERE id = $1", old)
    await prune(old)
    assert int(await database.fetchval("SELECT audit_horizon::text FROM event_log")) == xid + 1
    with pytest.raises(asyncpg.RestrictViolationError):
        await database.execute("DELETE FROM audit_entries WHERE id = $1", young)
