"""Channels from settings: which ones are configured, which settings are refused, what `callout doctor` reports."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import asyncpg
import pytest

from callout import doctor
from callout.notification_channels import channels_of
from callout.notification_worker import opened
from callout.settings import InvalidSettings, Settings, load
from db.enums import DeliveryChannel, NoticeKind
from db.ids import new_id
from notifiers.notification import Unavailable
from tests.helpers.issuer import issuer
from tests.helpers.mail_server import MailServer, mail_server
from tests.helpers.notifications import notification
from tests.helpers.process import free_port, serving
from tests.helpers.providers import providers
from tests.helpers.terminal import Terminal
from tests.helpers.webhook import webhook

PRODUCTION = {"env": "production", "database_url": "postgresql://127.0.0.1/none", "jwt_secret": "x" * 32}


def development(tmp_path: Path, **given: Any) -> Settings:
    return load(env="development", data_dir=tmp_path, **given)


async def send(settings: Settings, kind: DeliveryChannel, **given: Any) -> str:
    async with opened(channels_of, settings) as made:
        return await made[kind].send(notification(**given))


async def test_development_writes_mail_to_files_and_logs_their_paths(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    said = await send(development(tmp_path), DeliveryChannel.EMAIL)
    (file,) = (tmp_path / "mail").glob("*.eml")
    assert said == f"written to {file}"
    assert [record.__dict__["fields"] for record in caplog.records if record.name.startswith(("callout", "notif"))] == [
        {"folder": str(tmp_path / "mail")},
        {"path": str(file)},
    ]
    octets = file.read_bytes()
    assert b"From: Callout <support@callout.localhost>" in octets
    assert b"http://127.0.0.1:8000/tickets/TKT-A2B4C3" in octets

    elsewhere = development(tmp_path, mail_dir=tmp_path / "outbox", public_url="https://callout.example/app/")
    await send(elsewhere, DeliveryChannel.EMAIL)
    (file,) = (tmp_path / "outbox").glob("*.eml")
    assert b"https://callout.example/app/tickets/TKT-A2B4C3" in file.read_bytes()


def test_production_without_a_mail_server_logs_that_mail_is_off(caplog: pytest.LogCaptureFixture) -> None:
    assert DeliveryChannel.EMAIL not in channels_of(load(**PRODUCTION))
    assert "Mail is off: CALLOUT_SMTP_URL is not set." in caplog.messages


async def test_mail_is_sent_through_the_configured_server() -> None:
    with mail_server() as server:
        settings = load(
            **PRODUCTION,
            smtp_url=server.url,
            mail_from="Maple Alarms <help@maple.example>",
            mail_reply_to="desk@maple.example",
        )
        await send(settings, DeliveryChannel.EMAIL, ticket={"id": "019ab5a2-6c00-7000-8000-0000000000a2"})
    (mail,) = server.received
    message = mail.message
    assert mail.sender == "help@maple.example"
    assert (message["from"], message["reply-to"]) == ("Maple Alarms <help@maple.example>", "desk@maple.example")
    assert message["message-id"].endswith(".ticket.019ab5a26c00700080000000000000a2@maple.example>")
    assert "http" not in re.sub(r"http-equiv", "", mail.octets.decode())  # without a public URL there are no links


async def test_each_process_gets_its_share_of_a_spaces_rate(tmp_path: Path) -> None:
    settings = development(tmp_path, workers=20, webhook_private_hosts="allow")
    made = channels_of(settings)  # three a minute: one at once, then one every 30 seconds
    with webhook() as space:
        await made[DeliveryChannel.GOOGLE_CHAT].send(notification(webhook_url=space.url()))
        with pytest.raises(Unavailable) as refusal:
            await made[DeliveryChannel.GOOGLE_CHAT].send(notification(webhook_url=space.url()))
        assert refusal.value.after is not None
        assert 25 < refusal.value.after <= 30
    for channel in made.values():
        await channel.close()


async def test_a_broken_template_is_logged_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "resolved.html").write_text("\n{% nonsense %}")
    made = channels_of(development(tmp_path, templates_dir=tmp_path))
    (line,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert re.match(r"resolved\.html, line 2: .*nonsense", line.__dict__["fields"]["problem"])
    await made[DeliveryChannel.EMAIL].send(notification(NoticeKind.CREATED))  # other templates still work
    for channel in made.values():
        await channel.close()


# Settings


@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("smtp_url", "mail.example.com", "must be smtp://"),
        ("clamd_url", "http://scanner:3310", "must be tcp://host:3310 or unix:///path"),
        ("smtp_url", "smtp://u:tr0ub/ador@mail.example.com", "in a password, write / as %2F"),
        ("smtp_url", "smtp://u:tr0ubador@mail.example.com?tls=none", "unencrypted"),
        ("mail_from", "Callout", "is not a valid address"),
        ("mail_from", "a@b.example, c@d.example", "must be exactly one address"),
        ("mail_from", "jörg@example.com", "must have an ASCII address"),
        ("mail_reply_to", "nobody", "is not a valid address"),
        ("public_url", "callout.example.com", "must be a URL such as https://"),
        ("public_url", "javascript:alert(1)", "must be a URL such as https://"),
        ("public_url", "https://user:tr0ubador@callout.example", "must be a URL such as https://"),
        ("public_url", "https://callout.example/?page=", "must be a URL such as https://"),
        ("public_url", "https://callout.example/a b", "must be a URL such as https://"),
    ],
)
def test_an_invalid_setting_is_refused_by_name_without_its_secret(
    tmp_path: Path, setting: str, value: str, why: str
) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        development(tmp_path, **{setting: value})
    (problem,) = refusal.value.problems
    assert problem.startswith(f"CALLOUT_{setting.upper()}: ")
    assert why in problem
    assert "tr0ub" not in problem


def test_production_requires_a_sender_address() -> None:
    with pytest.raises(InvalidSettings) as refusal:
        load(**PRODUCTION, smtp_url="smtps://u:tr0ubador@mail.example.com")
    assert [problem[:17] for problem in refusal.value.problems] == ["CALLOUT_MAIL_FROM"]
    assert "tr0ub" not in str(refusal.value)
    settings = load(**PRODUCTION, smtp_url="smtps://u:tr0ubador@mail.example.com", mail_from="help@maple.example")
    assert "tr0ub" not in repr(settings) + str(settings) + repr(settings.smtp_server)


# The doctor


@pytest.fixture
def callout(database_url: str, tmp_path: Path) -> Terminal:
    return Terminal(database_url=database_url, data_dir=str(tmp_path), jwt_secret="x" * 32, port=str(free_port()))


def findings(callout: Terminal, about: str, **settings: str) -> list[tuple[bool, str]]:
    callout.settings |= {f"CALLOUT_{name.upper()}": value for name, value in settings.items()}
    done = callout("doctor")
    assert "tr0ub" not in done.stdout + done.stderr
    found = re.findall(rf"^([✓✗]) {about} +(.*)$", done.stdout, re.MULTILINE)
    assert done.exit_code == ("✗" in done.stdout)
    return [(sign == "✓", text) for sign, text in found]


@contextmanager
def answering(status: bytes) -> Iterator[int]:
    """Yields the port of a server that answers every request with this status line."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline())
            self.wfile.write(status + b"\r\ncontent-length: 0\r\n\r\n")

    asked: list[bytes] = []
    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    with serving(server, threading.Event()):
        yield server.server_address[1]
    assert asked == [b"GET /readyz HTTP/1.1\r\n"]


@pytest.mark.parametrize(
    ("status", "good", "text"),
    [
        (b"HTTP/1.1 200 OK", True, "ready on "),
        (b"HTTP/1.1 503 Service Unavailable", False, "not ready (status 503) on "),
        (b"220 mail.example.test ESMTP", False, " does not answer like Callout: "),
    ],
)
def test_the_doctor_checks_the_server_on_the_port(callout: Terminal, status: bytes, good: bool, text: str) -> None:
    with answering(status) as port:
        ((fine, said),) = findings(callout, "server", port=str(port))
    assert (fine, text in said) == (good, True)


def test_the_doctor_accepts_that_no_server_runs(callout: Terminal) -> None:
    port = callout.settings["CALLOUT_PORT"]
    assert findings(callout, "server") == [(True, f"none on 127.0.0.1, port {port}")]


def test_the_doctor_reports_how_tokens_are_signed(callout: Terminal, tmp_path: Path) -> None:
    assert findings(callout, "tokens") == [(True, "HS256, signed with the configured secret")]
    with issuer() as idp:
        found = findings(callout, "tokens", jwt_jwks_url=idp.url)
        assert found[1:] == [(True, "RS256 and ES256, checked with the issuer's keys, which can be read")]
        idp.behaviour = "fails"
        found = findings(callout, "tokens")
        assert found[1:] == [(False, "the issuer's keys cannot be read from CALLOUT_JWT_JWKS_URL")]
    for name in ("JWT_JWKS_URL", "JWT_SECRET"):
        del callout.settings[f"CALLOUT_{name}"]
    assert findings(callout, "tokens") == [(True, "HS256, signed with a development secret")]


def test_the_doctor_asks_each_identity_provider(callout: Terminal) -> None:
    with providers() as running:
        known = [running.add(f"/{name}", {"audience": ["a", "b"], "name": name}) for name in ("one", "two", "three")]
        running.add("/four", {"audience": "a", "name": "four", "algorithms": ["ES256"]})
        known[1].behaviour = "fails"
        known[2].configuration["issuer"] = "https://another.test"
        found = findings(callout, "tokens", jwt_issuers=running.setting)
        one, two, three, four = (each.settings["issuer"] for each in running.all)
        assert found[1:] == [
            (True, f"one: {one} has 1 key for RS256, ES256; the audience is a, b"),
            (False, f"two: the keys of {two} cannot be read: HTTP Error 500: Internal Server Error"),
            (
                False,
                f"three: the keys of {three} cannot be read: its configuration is that of another issuer,"
                " 'https://another.test'",
            ),
            (False, f"four: {four} has no key for ES256"),
        ]
    del callout.settings["CALLOUT_JWT_ISSUERS"]


def test_the_doctor_reports_that_a_secret_is_being_rotated(callout: Terminal) -> None:
    assert findings(callout, "tokens", jwt_secret_previous="tr0ubador" * 4) == [
        (True, "HS256, signed with the configured secret")
    ]
    assert "\n            those signed with CALLOUT_JWT_SECRET_PREVIOUS are accepted, too; " in callout("doctor").stdout


async def test_the_doctor_reports_keys_that_expire_and_that_nobody_uses(
    callout: Terminal, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    for name, scope, days, used, revoked in (
        ("Lasting", "CHATBOT", None, True, False),
        ("Old", None, 15, False, False),
        ("Gateway", "MAIL_GATEWAY", 13, False, False),
        ("Brief", "CHATBOT", 1, True, False),
        ("Expired", "CHATBOT", -1, False, False),
        ("Revoked", "CHATBOT", 1, False, True),
    ):
        await database.execute(
            "INSERT INTO api_keys (id, name, prefix, secret_hash, scope, expires_at, last_used_at, revoked_at)"
            " VALUES ($1, $2, 'callout_abcd', $2::text::bytea, $3, now() + $4 * interval '1 day',"
            " CASE WHEN $5 THEN now() END, CASE WHEN $6 THEN now() END)",
            new_id(),
            *(name, scope, days, used, revoked),
        )
    assert findings(callout, "keys") == [(True, "4 work, 2 of them never used")]
    details = callout("doctor").stdout.partition(" keys ")[2].splitlines()[1:4]
    assert details[0].strip() == "1 without a scope, from before keys had one: give each its scope with apiKeyUpdate"
    assert [re.sub(r"\d{4}-\d\d-\d\d", "…", line.strip()) for line in details[1:]] == [
        "Brief (callout_abcd…) expires on …",
        "Gateway (callout_abcd…) expires on …",
    ]


def test_the_doctor_reports_the_version_of_the_database(callout: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    ((fine, text),) = findings(callout, "database")
    assert (fine, bool(re.fullmatch(r"PostgreSQL \d+\.\d+.*, by URL", text))) == (True, True)
    assert doctor.OLDEST_SERVER == 140_000
    monkeypatch.setattr(doctor, "OLDEST_SERVER", 1_000_000)
    assert findings(callout, "database") == [(False, f"{text}; 14 is the oldest")]


def test_the_doctor_lists_the_settings_without_a_secret(callout: Terminal, database_url: str) -> None:
    """`findings` checks that no password is printed."""
    account = "callout:tr0ubador@127.0.0.1:1"
    callout.settings |= {
        "CALLOUT_DATABASE_URL": f"{database_url}&password=tr0ubador",
        "CALLOUT_PUBSUB_URL": f"redis://{account}",
        "CALLOUT_JWT_JWKS_URL": f"http://{account}/keys",
        "CALLOUT_SMTP_URL": f"smtp://{account}",
        "CALLOUT_IMAP_URL": f"imaps://{account}/INBOX",
    }
    assert findings(callout, "settings") == [(True, "development")]
    shown = callout("doctor").stdout
    listed = dict(re.findall(r"^ {12}CALLOUT_([A-Z_]+) +(.*)$", shown, re.MULTILINE))
    assert list(listed) == [name.upper() for name in Settings.model_fields]
    assert listed["DATABASE_URL"] == f"{database_url}&password=…"
    assert listed["PUBSUB_URL"] == "redis://callout@127.0.0.1:1"
    assert listed["JWT_SECRET"] == "32 bytes, not shown"
    assert (listed["HOST"], listed["MAIL_FROM"]) == ("127.0.0.1  (default)", "None  (default)")


def test_the_doctor_reports_where_mail_goes(callout: Terminal, tmp_path: Path) -> None:
    assert findings(callout, "mail") == [(True, f"not sent, but written to {tmp_path}/mail")]
    assert findings(callout, "mail", env="production") == [(True, "Mail is off: CALLOUT_SMTP_URL is not set.")]


def test_the_doctor_checks_the_mail_server(callout: Terminal) -> None:
    with mail_server() as server:
        where = f"127.0.0.1, port {server.port}"
        good = findings(callout, "mail", smtp_url=server.url, mail_from="Maple <help@maple.example>")
        assert good == [(True, f"via {where}, from help@maple.example")]
        login = f"smtp://callout:tr0ubador@127.0.0.1:{server.port}"
        ((fine, text),) = findings(callout, "mail", smtp_url=login)
        assert (fine, "AUTH" in text) == (False, True)
        assert received_nothing(server)
    ((fine, text),) = findings(callout, "mail", smtp_url=server.url)
    assert (fine, text.startswith(f"{where}: Error connecting")) == (False, True)


def received_nothing(server: MailServer) -> bool:
    return server.received == [] and server.asked == []


def test_the_doctor_checks_the_templates(callout: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    assert findings(callout, "templates", templates_dir=str(folder)) == [(False, f"{folder} is not a folder")]
    folder.mkdir()
    (folder / "test.txt").write_text("{{ recipient_name }}")
    assert findings(callout, "templates") == [(True, f"the templates in {folder} are valid")]
    (folder / "test.txt").write_text("{{ recipient_nmae }}")
    ((fine, text),) = findings(callout, "templates")
    assert (fine, text) == (False, "test.txt: 'recipient_nmae' is undefined")
