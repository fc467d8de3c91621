"""The `callout` command, run from a shell."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import socket
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import jwt
import pytest

from callout.serve import _listen
from callout.settings import Settings
from db.ids import new_id
from db.postgres import migrate
from notifiers.vapid import VapidKey
from tests.helpers.clamd import Clamd
from tests.helpers.metrics import parsed
from tests.helpers.process import free_port, free_ports
from tests.helpers.terminal import Terminal

SECRET = "correct-horse-battery-staple-correct-horse"


@pytest.fixture
def callout(database_url: str, tmp_path: Path) -> Terminal:
    return Terminal(database_url=database_url, data_dir=str(tmp_path), jwt_secret=SECRET, port=str(free_port()))


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, SECRET, algorithms=["HS256"], audience="callout", issuer="callout")
    return decoded


async def technician(database: asyncpg.Connection[asyncpg.Record], email: str, *, active: bool = True) -> str:
    key = new_id()
    await database.execute(
        "INSERT INTO technicians (id, name, email, active) VALUES ($1, 'Tess Wire', $2, $3)", key, email, active
    )
    return f"tec_{key}"


def test_help_lists_every_setting(callout: Terminal) -> None:
    shown = re.findall(r"^  (CALLOUT_[A-Z_]+)\b", callout("serve", "--help").stdout, re.MULTILINE)
    assert shown == [f"CALLOUT_{name.upper()}" for name in Settings.model_fields]


def test_only_the_token_is_printed(callout: Terminal) -> None:
    done = callout("token", "--role", "admin", "--subject", "ada", "--name", "Ada", "--ttl", "15m")
    made = claims(done.stdout.strip())
    assert (made["sub"], made["role"], made["name"]) == ("ada", "admin", "Ada")
    assert made["exp"] - made["iat"] == 15 * 60
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [("1", 1), ("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800), ("366d", 31_622_400)],
)
def test_a_token_is_valid_for_the_given_time(callout: Terminal, ttl: str, seconds: int) -> None:
    callout.settings["CALLOUT_JWT_MAX_LIFETIME_DAYS"] = "366"
    token = callout("token", "--role", "admin", "--ttl", ttl).stdout.strip()
    made = jwt.decode(token, options={"verify_signature": False})  # the shortest may have expired by now
    assert made["exp"] - made["iat"] == seconds


@pytest.mark.parametrize("ttl", ["0", "0d", "31622401", "367d", "1w", "12 h", "1.5h", "", "9999999999"])
def test_an_invalid_time_or_one_over_a_year_is_a_usage_error(callout: Terminal, ttl: str) -> None:
    done = callout("token", "--role", "admin", "--ttl", ttl)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is not a duration of up to a year" in done.stderr


def test_a_token_for_an_embedded_database_needs_one(tmp_path: Path) -> None:
    """In another directory than the server's, a token would be signed with another secret."""
    callout = Terminal(data_dir=str(tmp_path), jwt_secret=SECRET)
    done = callout("token", "--role", "admin")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"there is no database in {tmp_path}" in done.stderr
    assert f"✓ database  none in {tmp_path} yet" in callout("doctor").stdout
    assert [path.name for path in tmp_path.iterdir() if path.name == "postgres"] == []


def test_no_token_is_made_that_would_be_refused_for_its_lifetime(callout: Terminal) -> None:
    for days, ttl, code in (("30", "30d", 0), ("30", "2592001", 2), ("1", "25h", 2), ("1", "24h", 0)):
        callout.settings["CALLOUT_JWT_MAX_LIFETIME_DAYS"] = days
        done = callout("token", "--role", "admin", "--ttl", ttl)
        assert done.exit_code == code
        assert (f"the {days} days of CALLOUT_JWT_MAX_LIFETIME_DAYS" in done.stderr) == (code == 2)


def test_a_services_token_has_a_scope(callout: Terminal) -> None:
    for arguments, scope in (((), "chatbot"), (("--scope", "mail_gateway"), "mail_gateway")):
        made = claims(callout("token", "--role", "service", *arguments).stdout.strip())
        assert made["service_scope"] == scope
    assert "service_scope" not in claims(callout("token", "--role", "admin").stdout.strip())
    done = callout("token", "--role", "admin", "--scope", "chatbot")
    assert (done.exit_code, done.stdout, "only a service's token has a --scope" in done.stderr) == (2, "", True)


def test_the_default_name_of_a_token_is_its_subject_or_role(callout: Terminal) -> None:
    for arguments, expected in (
        ((), ("service", "service")),
        (("--subject", "bot"), ("bot", "bot")),
        (("--name", "Our bot"), ("service", "Our bot")),
    ):
        made = claims(callout("token", "--role", "service", *arguments).stdout.strip())
        assert (made["sub"], made["name"]) == expected


def test_usage_errors_and_failures_have_different_exit_codes(callout: Terminal) -> None:
    issued, unusable = Terminal(jwt_jwks_url="https://issuer.test/keys"), Terminal(port="0", workers="65")
    for terminal, arguments, code, why in (
        (callout, ("token", "--role", "technician"), 2, "a technician's token needs a --subject"),
        (callout, ("token", "--role", "customer", "--subject", "c@x.test", "--name", "C"), 2, "omit --name"),
        (callout, ("migrate", "--downgrade"), 2, "--downgrade needs a --revision"),
        (callout, ("seed", "--tickets", "0"), 2, "0 is not in the range"),
        (callout, ("mail-in", "--imap"), 1, "CALLOUT_IMAP_URL is not set"),
        (issued, ("token", "--role", "admin"), 1, "CALLOUT_JWT_SECRET is not set"),
        (unusable, ("token", "--role", "admin"), 2, "The settings are invalid:\n  CALLOUT_PORT: "),
        (unusable, ("token", "--role", "admin"), 2, "\n  CALLOUT_WORKERS: "),
    ):
        done = terminal(*arguments)
        assert (done.exit_code, done.stdout) == (code, ""), arguments
        assert why in done.stderr, arguments


async def test_the_demo_company_needs_an_empty_database(
    callout: Terminal, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await technician(database, "first@wire.test")
    done = callout("seed")
    assert (done.exit_code, "the demo company needs an empty one" in done.stderr) == (1, True)
    assert await database.fetchval("SELECT count(*) FROM customers") == 0


async def test_a_person_is_found_by_address_or_id(
    callout: Terminal, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    known = await technician(database, "Tess@wire.test")
    for subject in ("tess@WIRE.test", known):
        made = claims(callout("token", "--role", "technician", "--subject", subject).stdout.strip())
        assert (made["sub"], made["name"]) == (known, "Tess Wire")


async def test_no_token_is_made_for_an_unknown_or_inactive_person(
    callout: Terminal, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await technician(database, "gone@wire.test", active=False)
    for subject, reason in {
        "gone@wire.test": "inactive",
        "nobody@wire.test": "no technician",
        f"tec_{new_id()}": "no technician",
        f"cus_{new_id()}": "not the id of a technician",
    }.items():
        done = callout("token", "--role", "technician", "--subject", subject)
        assert (done.exit_code, done.stdout) == (1, "")
        assert reason in done.stderr


def test_migrate_can_downgrade_and_upgrade_again(callout: Terminal, database_url: str) -> None:
    head = migrate.head()
    assert callout("migrate").stdout == f"At revision {head}, as before.\n"
    assert callout("migrate", "--downgrade", "--revision", "base").stdout == f"At revision base; was {head}.\n"
    sick = callout("doctor")
    assert sick.exit_code == 1
    assert "run `callout migrate`" in sick.stdout
    refused = Terminal(env="production", database_url=database_url, jwt_secret=SECRET)("seed")
    assert (refused.exit_code, "run `callout migrate`" in refused.stderr) == (1, True)
    assert callout("migrate").exit_code == 0
    assert migrate.current(database_url) == head


def test_the_doctor_approves_a_healthy_installation_without_showing_secrets(callout: Terminal) -> None:
    done = callout("doctor")
    assert done.exit_code == 0, done.stdout
    assert re.findall(r"^([✓✗]) (\w+) ", done.stdout, re.MULTILINE) == [
        ("✓", about)
        for about in (
            *("program", "settings", "tokens", "database", "schema", "queue", "checks", "keys", "devices", "files"),
            *("mail", "scanner", "server"),
        )
    ]
    assert SECRET not in done.stdout
    assert done.stdout.endswith("\n\nNothing is wrong.\n")
    rows = re.findall(r"^ +(CALLOUT_\w+ +)(\S.*)$", done.stdout, re.MULTILINE)
    assert len({len(name) for name, _ in rows}) == 1, "the values are below each other"
    assert not re.search(r"\b(?:None|True|False)\b|[()\[\]{}']", "".join(value.split("  ")[0] for _, value in rows))


def test_the_doctor_shows_settings_as_one_writes_them() -> None:
    nowhere = "postgresql://127.0.0.1:1/callout"
    given = {"trusted_proxies": "10.0.0.5, 10.1.0.0/16", "budgets": "off", "database_wait": "2.50"}
    lines = Terminal(database_url=nowhere, **given)("doctor").stdout
    values = dict(re.findall(r"^ +(CALLOUT_\w+) +(\S+)", lines, re.MULTILINE))
    assert (values["CALLOUT_TRUSTED_PROXIES"], values["CALLOUT_ALLOWED_ORIGINS"]) == ("10.0.0.5,10.1.0.0/16", "none")
    assert (values["CALLOUT_BUDGETS"], values["CALLOUT_NOTIFY"]) == ("false", "true")
    assert (values["CALLOUT_DATABASE_WAIT"], values["CALLOUT_MAIL_FROM"]) == ("2.5", "none")


def test_the_doctor_says_where_settings_come_from(callout: Terminal, tmp_path: Path) -> None:
    (tmp_path / "level").write_text("warning\n")
    callout.settings |= {"CALLOUT_LOG_LEVEL_FILE": str(tmp_path / "level"), "CALLOUT_WORKERS": "2"}
    shown = callout("doctor").stdout
    assert re.search(rf"CALLOUT_LOG_LEVEL +warning  \(from {tmp_path}/level\)\n", shown)
    assert re.search(r"CALLOUT_WORKERS +2\n", shown)
    assert re.search(r"CALLOUT_LOG_FORMAT +\w+  \(default\)\n", shown)


def test_the_doctor_reports_what_is_wrong() -> None:
    secrets = {
        "database_url": "postgresql://callout:swordfish@127.0.0.1:1/callout",
        "pubsub_url": "redis://:swordfish@127.0.0.1:1",
        "imap_url": "imaps://callout:swordfish@127.0.0.1:1/INBOX",
        "files_url": "file:///proc/callout",
    }
    done = Terminal(**secrets, prot="80")("doctor")
    assert done.exit_code == 1
    unusable = Terminal(port="0")("doctor")
    assert unusable.exit_code == 1
    assert re.search("✗ settings +CALLOUT_PORT: Input should be greater", unusable.stdout)
    assert re.search("✗ settings +CALLOUT_PROT", done.stdout)
    assert re.search("✗ database +.*cannot be reached", done.stdout)
    assert re.search("✗ files +none can be attached: the folder /proc/callout cannot be used", done.stdout)
    assert "swordfish" not in done.stdout + done.stderr
    assert done.stdout.endswith(f"\n\n{done.stdout.count('✗') - 1} of these must be looked at: see the ✗.\n")


def test_the_doctor_validates_trusted_documents(callout: Terminal, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    good = {"1": "{ __typename }", "2": "query A { me { name } } query B { __typename }"}
    manifest.write_text(json.dumps(good))
    own = {name.removeprefix("CALLOUT_").lower(): value for name, value in callout.settings.items()}
    with_manifest = Terminal(**own, trusted_documents=str(manifest))
    assert re.search(f"✓ documents +2 trusted documents in {manifest}, all valid", with_manifest("doctor").stdout)
    manifest.write_text(json.dumps(good | {"3": "{ nothing }", "4": "{", "5": "{ me { name }" + " " * 9 + "#" * 9}))
    sick = with_manifest("doctor")
    assert sick.exit_code == 1
    assert re.search(r"✗ documents +3 of 5 trusted documents .* are refused\n +3: Cannot query field", sick.stdout)


async def test_the_doctor_reports_notifications_that_no_worker_sends(
    callout: Terminal, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await database.execute(
        """INSERT INTO tickets (id, reference, subject, description, source, creator_kind, creator_id, contact_name,
            contact_email)
        VALUES ($1, 'TKT-AAAAAA', 's', 'd', 'ADMIN', 'ADMIN', 'a', 'A', 'a@example.com')""",
        ticket := new_id(),
    )
    for recipient in ("a@example.com", "b@example.com"):
        await database.execute(
            """INSERT INTO deliveries (event_id, ticket_id, kind, channel, audience, recipient, recipient_name,
                actor_name, created_at)
            VALUES ($1, $2, 'CREATED', 'EMAIL', 'ADMIN', $3, '', '', now())""",
            *(new_id(), ticket, recipient),
        )
    fresh = callout("doctor")
    assert fresh.exit_code == 0
    assert re.search("✓ queue +2 to be sent, 0 given up\n", fresh.stdout)
    await database.execute("UPDATE deliveries SET due_at = now() - interval '11 minutes'")
    await database.execute(
        "UPDATE deliveries SET state = 'DEAD', finished_at = now() WHERE recipient = 'b@example.com'"
    )
    sick = callout("doctor")
    assert sick.exit_code == 1
    assert re.search("✗ queue +1 to be sent, 1 given up\n +1 have been due", sick.stdout)
    await database.execute("DELETE FROM deliveries WHERE state = 'PENDING'")
    assert callout("doctor").exit_code == 0  # dead deliveries are not a fault
    await database.execute("DELETE FROM deliveries")


def test_push_keys_are_settings_that_the_doctor_knows(callout: Terminal) -> None:
    made, another = callout("push-keys"), callout("push-keys")
    name, _, key = made.stdout.strip().partition("=")
    assert (name, made.exit_code) == ("CALLOUT_PUSH_PRIVATE_KEY", 0)
    assert made.stdout != another.stdout
    assert "✓ devices   none: CALLOUT_PUSH_PRIVATE_KEY is not set\n" in callout("doctor").stdout
    callout.settings |= {name: key, "CALLOUT_PUSH_CONTACT": "mailto:ops@company.test"}
    done = callout("doctor")
    public = VapidKey.parse(key).public
    assert f"✓ devices   0 are notified, for mailto:ops@company.test; the public key is {public}\n" in done.stdout
    assert public in made.stderr
    assert key not in done.stdout + made.stderr


async def test_the_doctor_reports_devices_that_nobody_notifies(
    callout: Terminal, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await database.execute(
        """INSERT INTO push_subscriptions (id, owner, device_id, endpoint, p256dh, auth, subjects)
        VALUES ($1, 'ADMIN:boss', 'desk', 'https://push.test/1', $2, $3, '{}')""",
        *(new_id(), bytes(65), bytes(16)),
    )
    done = callout("doctor")
    assert done.exit_code == 1
    assert "✗ devices   1 wait for notices: CALLOUT_PUSH_PRIVATE_KEY is not set\n" in done.stdout


async def test_the_doctor_reports_a_scanner_that_does_not_answer_and_files_that_wait(
    callout: Terminal, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with Clamd() as clamd:
        callout.settings["CALLOUT_CLAMD_URL"] = clamd.url
        assert "✓ scanner" in (await asyncio.to_thread(callout, "doctor")).stdout
    done = callout("doctor")
    assert done.exit_code == 1
    assert re.search("✗ scanner +tcp://127.0.0.1:[0-9]+: it cannot be reached: .*; files wait for it", done.stdout)
    del callout.settings["CALLOUT_CLAMD_URL"]
    ticket = new_id()
    await database.execute(
        """INSERT INTO tickets (id, reference, subject, description, source, creator_kind, creator_id, contact_name,
            contact_email)
        VALUES ($1, 'TKT-FFFFFF', 's', 'd', 'ADMIN', 'ADMIN', 'a', 'A', 'a@example.com')""",
        ticket,
    )
    await database.execute(
        """INSERT INTO attachments
            (id, ticket_id, name, content_type, size, upload_size, sha256, state, creator_kind, creator_id,
            creator_name)
        VALUES ($1, $2, 'a.pdf', 'application/pdf', 1, 1, $3, 'SCANNING', 'ADMIN', 'a', 'A')""",
        *(new_id(), ticket, bytes(32)),
    )
    assert re.search("✓ checks +1 files wait to be checked\n", callout("doctor").stdout)
    await database.execute("UPDATE attachments SET created_at = now() - interval '11 minutes'")
    assert re.search(
        "✗ checks +1 files wait to be checked\n +1 arrived more than 10 minutes ago", callout("doctor").stdout
    )
    await database.execute("DELETE FROM attachments")


def test_a_worker_runs_until_it_is_terminated(callout: Terminal, tmp_path: Path) -> None:
    """It shows its metrics on the port behind those of the servers."""
    ports = free_ports(3)
    callout.settings |= {
        "CALLOUT_ENV": "production",
        "CALLOUT_WORKERS": "2",
        "CALLOUT_METRICS_PORT": str(ports),
    }
    log = tmp_path / "worker.log"
    with log.open("wb") as err, callout.start("notify", stderr=err) as worker:
        deadline = time.monotonic() + 60
        while "notifiers.worker" not in log.read_text():
            assert worker.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        scrape = parsed(httpx.get(f"http://127.0.0.1:{ports + 2}/metrics", trust_env=False, timeout=30).text)
        worker.terminate()
        assert worker.wait(10) == 0, log.read_text()
    assert scrape.types["callout_delivery_attempts"] == "counter" and scrape["callout_pool_size"] == 2
    assert "callout_subscriptions" not in scrape.types
    assert "EMAIL is not configured here" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_callout_schema_prints_the_schema(callout: Terminal) -> None:
    done = callout("schema")
    assert "type Query {" in done.stdout
    assert done.stderr == ""


async def test_seed_writes_the_given_number_of_tickets(
    callout: Terminal, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    before = await database.fetchval("SELECT count(*) FROM tickets")
    done = callout("seed", "--tickets", "300")
    assert done.exit_code == 0, done.stderr
    assert await database.fetchval("SELECT count(*) FROM tickets") - before == 300
    made_by_chatbot = "SELECT count(*) FROM tickets WHERE source = 'CHATBOT' AND description LIKE 'Customer reports: %'"
    transcripts = "SELECT count(*) FROM ticket_chats WHERE messages ->> 2 IS NOT NULL AND creator_id = 'chatbot'"
    assert await database.fetchval(made_by_chatbot) == await database.fetchval(transcripts) > 0


def test_a_port_in_use_is_reported(callout: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = callout("serve", "--port", port)
    assert done.exit_code == 1
    assert port in done.stderr and "in use" in done.stderr


def test_all_addresses_are_those_of_both_families(tmp_path: Path) -> None:
    port = free_port()
    listener = _listen(Settings(host="::", port=port, data_dir=tmp_path))
    with listener:
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port), timeout=10).close()


def paste(curl: str) -> Any:
    """Sends the request of the `curl` command, because curl may not be installed."""
    words = shlex.split(curl.strip())
    (url,) = (word for word in words if word.startswith("http"))
    options = [(option, value) for option, value in pairwise(words) if option in ("-H", "-d")]
    headers = dict(value.split(": ", 1) for option, value in options if option == "-H")
    (body,) = (value for option, value in options if option == "-d")
    return httpx.post(url, headers=headers, content=body, timeout=30).raise_for_status().json()


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_greeting_has_tokens_and_a_working_example(tmp_path: Path, workers: int) -> None:
    port = str(free_port())
    callout = Terminal(data_dir=str(tmp_path / "data"), port=port)
    last = f"The console, with you signed in as an admin: http://127.0.0.1:{port}/"
    greeting = tmp_path / "greeting"
    with greeting.open("wb") as out, callout.start("serve", "--workers", str(workers), stdout=out) as server:
        try:
            deadline = time.monotonic() + 60
            while not greeting.read_text().rstrip().endswith(last):
                assert server.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            shown = greeting.read_text()
            roles = re.findall(r"^export ([A-Z]+)_TOKEN=\S+$", shown, re.MULTILINE)
            assert roles == ["ADMIN", "TECHNICIAN", "CUSTOMER", "SERVICE"]
            example = shown[shown.index("curl ") :].partition("\n\n")[0]
            answer = paste(example)
            entries = '"query": "{ auditEntries { nodes { action objectKind } } }"'
            audited = paste(re.sub('"query": ".*"', entries, example))
        finally:
            server.terminate()
    assert server.returncode == 0
    entry = {"action": "CREATED", "objectKind": "TOKEN"}
    assert audited["data"]["auditEntries"]["nodes"] == [entry] * len(roles)
    newest = answer["data"]["tickets"]["nodes"]
    assert len(newest) == 3
    assert all(ticket["reference"].startswith("TKT-") for ticket in newest)
