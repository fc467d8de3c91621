"""The settings of a process: reading them from the environment, checking them, and naming invalid variables."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callout import settings
from callout.monitoring import faults, tracing
from callout.notification_channels import channels_of
from callout.settings import InvalidSettings, Settings, load
from notifiers.company_profile import CompanyProfile
from notifiers.links import TicketLinks
from notifiers.message_ids import OwnMail
from notifiers.vapid import VapidKey

PRODUCTION = {"env": "production", "database_url": "postgresql://127.0.0.1/none", "jwt_secret": "x" * 32}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("CALLOUT_"):
            monkeypatch.delenv(name)


def development(tmp_path: Path, **given: Any) -> Settings:
    return load(data_dir=tmp_path, **given)


def problems(**given: Any) -> list[str]:
    with pytest.raises(InvalidSettings) as refused:
        load(**given)
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems


# The environment


def test_arguments_take_precedence_over_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"PORT": "9000", "HOST": "0.0.0.0", "WORKERS": "", "LOG_LEVEL": "Warning"}.items():
        monkeypatch.setenv(f"CALLOUT_{name}", value)
    made = development(tmp_path, host="::1", port=None)
    assert (made.host, made.port, made.workers, made.log_level) == ("::1", 9000, 1, "warning")
    monkeypatch.setenv("CALLOUT_ENV", "PRODUCTION")
    assert load(**{name: value for name, value in PRODUCTION.items() if name != "env"}).production is True


def test_a_variable_that_is_no_setting_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("CALLOUT_PROT", "CALLOUT_POOLSIZE", "CALLOUT_JWT_SECRET_FIEL", "CALLOUT_ZZZ", "PORT"):
        monkeypatch.setenv(name, "80")
    misspelt = [
        "CALLOUT_JWT_SECRET_FIEL: no setting has this name; the nearest is CALLOUT_JWT_SECRET_FILE.",
        "CALLOUT_POOLSIZE: no setting has this name; the nearest is CALLOUT_POOL_SIZE.",
        "CALLOUT_PROT: no setting has this name; the nearest is CALLOUT_PORT.",
        "CALLOUT_ZZZ: no setting has this name; unset it.",
    ]
    assert problems(data_dir=tmp_path) == misspelt
    assert problems(port=0, data_dir=tmp_path) == [
        *misspelt,
        "CALLOUT_PORT: Input should be greater than or equal to 1",
    ]


def test_variables_that_kubernetes_sets_for_a_service_are_no_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without `enableServiceLinks: false` each pod has them, here of a service `callout` with a port `http`."""
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT_8000_TCP", "PORT_8000_TCP_ADDR"):
        monkeypatch.setenv(f"CALLOUT_{name}", "10.0.0.1")
    assert development(tmp_path).port == 8000


def test_settings_are_read_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {"jwt_secret": f"{'s' * 40}\n", "trusted_proxies": "10.0.0.5,10.1.0.0/16", "port": "9000\r\n"}
    for field, text in given.items():
        file = tmp_path / field
        file.write_text(text, newline="")
        monkeypatch.setenv(f"CALLOUT_{field.upper()}_FILE", str(file))
    made = development(tmp_path)
    assert (made.jwt_secret, made.trusted_proxies, made.port) == ("s" * 40, ("10.0.0.5", "10.1.0.0/16"), 9000)
    assert development(tmp_path, port=9001).port == 9001, "an option takes precedence"


def test_files_that_cannot_be_used_are_reported_without_their_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("tr0ubador")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "long").write_text("1" * 65_537)
    for field, path in {
        "jwt_secret": secret,
        "smtp_url": tmp_path / "none",
        "imap_url": tmp_path,
        "host": tmp_path / "empty",
        "env": tmp_path / "binary",
        "workers": tmp_path / "long",
        "port": secret,
    }.items():
        monkeypatch.setenv(f"CALLOUT_{field.upper()}_FILE", str(path))
    monkeypatch.setenv("CALLOUT_PORT", "80")
    assert problems(data_dir=tmp_path) == [
        f"CALLOUT_ENV_FILE: {tmp_path}/binary is not a text in UTF-8",
        f"CALLOUT_HOST_FILE: {tmp_path}/empty is empty",
        "CALLOUT_PORT_FILE and CALLOUT_PORT are both set: unset one of them.",
        f"CALLOUT_WORKERS_FILE: {tmp_path}/long has more than 65,536 characters",
        f"CALLOUT_SMTP_URL_FILE: {tmp_path}/none cannot be read: No such file or directory",
        f"CALLOUT_IMAP_URL_FILE: {tmp_path} cannot be read: Is a directory",
    ]
    for field in ("smtp_url", "imap_url", "host", "env", "workers", "port"):
        monkeypatch.delenv(f"CALLOUT_{field.upper()}_FILE")
    (problem,) = problems(data_dir=tmp_path)
    assert problem.startswith("CALLOUT_JWT_SECRET: is shorter than 32 bytes")


def test_each_setting_is_documented_with_its_default() -> None:
    documented = {name: (default, text) for name, default, text in settings.documentation()}
    assert list(documented) == [f"CALLOUT_{name.upper()}" for name in Settings.model_fields]
    assert [name for name, (_, text) in documented.items() if not text.endswith(".")] == []
    names = ("PORT", "DATABASE_URL", "ALLOWED_ORIGINS", "NOTIFY", "EVENT_RETENTION_DAYS", "NOTIFY_GIVE_UP")
    assert [documented[f"CALLOUT_{name}"][0] for name in names] == ["8000", "none", "none", "true", "none", "72"]


def test_all_problems_are_reported_at_once_without_secrets(tmp_path: Path) -> None:
    assert problems(port=0, workers=65, jwt_secret="tr0ubador", data_dir=tmp_path) == [
        "CALLOUT_PORT: Input should be greater than or equal to 1",
        "CALLOUT_WORKERS: Input should be less than or equal to 64",
        "CALLOUT_JWT_SECRET: is shorter than 32 bytes; `openssl rand -base64 48` makes a good one",
    ]


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        *(("port", 1, 65_535), ("workers", 1, 64), ("pool_size", 1, 200)),
        *(("event_retention_days", 1, 36_500), ("notify_give_up", 0.001, 8_760), ("jwt_max_lifetime_days", 1, 366)),
        *((f"{rows}_retention_days", 30, 36_500) for rows in ("inbound", "audit", "idempotency")),
        ("delivery_retention_days", 1, 36_500),
    ],
)
def test_numbers_are_bounded(tmp_path: Path, name: str, least: float, most: float) -> None:
    for value in (least, most):
        assert getattr(development(tmp_path, **{name: value}), name) == value
    for value in (0, most + 1):
        (problem,) = problems(data_dir=tmp_path, **{name: value})
        assert problem.startswith(f"CALLOUT_{name.upper()}: Input should be ")


def test_settings_are_shown_without_secrets(tmp_path: Path) -> None:
    account = "callout:tr0ubador@127.0.0.1"
    made = development(
        tmp_path,
        database_url=f"postgresql://{account}/callout",
        pubsub_url=f"redis://{account}",
        jwt_secret="tr0ubador" * 4,
        jwt_secret_previous="tr0ubador" * 5,
        jwt_jwks_url=f"https://{account}/keys",
        smtp_url=f"smtp://{account}",
        imap_url=f"imaps://{account}/INBOX",
    )
    assert "tr0ub" not in repr(made) + str(made)


# Parsing and derived settings


def test_production_logs_json_by_default(tmp_path: Path) -> None:
    assert load(**PRODUCTION).log_format == "json"
    assert load(**PRODUCTION, log_format="TEXT").log_format == "text"
    assert development(tmp_path).log_format == "text"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_other_schemes_for_postgresql_are_accepted(scheme: str) -> None:
    made = load(**PRODUCTION | {"database_url": f"{scheme}://u:p@db.test:5433/callout?sslmode=require"})
    assert made.database_url == "postgresql://u:p@db.test:5433/callout?sslmode=require"
    pooled = load(**PRODUCTION | {"database_direct_url": f"{scheme}://u:p@db.test/callout"})
    assert (pooled.database_url, pooled.direct_url) == (
        "postgresql://127.0.0.1/none",
        "postgresql://u:p@db.test/callout",
    )


def test_the_direct_url_is_that_of_the_database_by_default(tmp_path: Path) -> None:
    assert load(**PRODUCTION).direct_url == PRODUCTION["database_url"]
    assert development(tmp_path).direct_url is None
    url = "postgresql://u:swordfish@db.test/callout"
    assert problems(data_dir=tmp_path, database_direct_url=url) == [
        "CALLOUT_DATABASE_DIRECT_URL: is set, but CALLOUT_DATABASE_URL is not: set that alone, or both"
    ]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("database_url", "mysql://db.test/callout", "must start with postgresql://"),
        ("database_url", "postgresql://db.test", "must name a database"),
        ("database_url", "postgresql://db.test/", "must name a database"),
        ("database_direct_url", "mysql://db.test/callout", "must start with postgresql://"),
        ("imap_url", "imap://u:tr0ubador@mail.test/INBOX", "must start with imaps://"),
        ("jwt_secret", "é" * 15 + "x", "is shorter than 32 bytes"),
        ("jwt_secret_previous", "é" * 15 + "x", "is shorter than 32 bytes"),
        ("jwt_issuer", "", "should have at least 1 character"),
        ("public_url", "https://callout.test:0", "must be a URL such as https://"),
        ("public_url", "https://callout.test:port", "must be a URL such as https://"),
        ("portal_url", "callout.test", "must be a URL such as https://"),
        ("portal_url", "https://callout.test/?page=", "must be a URL such as https://"),
        ("dashboard_url", "javascript:alert({id})", "must be a URL such as https://"),
        ("dashboard_url", "https://callout.test/{name}/{id}", "must be a URL such as https://"),
        ("device_url", "https://u:tr0ubador@callout.test/{id}", "must be a URL such as https://"),
        ("device_url", "https://callout.test/{id} x", "must be a URL such as https://"),
        ("company_logo_url", "http://maple.test/logo.png", "must be a URL such as https://"),
        ("company_logo_url", 'https://maple.test/"><script>', "must be a URL such as https://"),
        ("company_name", "x" * 101, "should have at most 100 characters"),
        ("time_zone", "Moon/Tranquility", "must be a time zone of the IANA database"),
        ("time_zone", "../../etc/passwd", "must be a time zone of the IANA database"),
        ("time_zone", "/etc/localtime", "must be a time zone of the IANA database"),
        ("push_private_key", "tr0ubador", "must be a private key as `callout push-keys` prints it"),
        ("push_contact", "ops@company.test", "must be a URL such as mailto:"),
        ("push_contact", "http://company.test", "must be a URL such as mailto:"),
        ("push_contact", "mailto:ops", "must be a URL such as mailto:"),
    ],
)
def test_an_invalid_setting_is_refused_by_name_without_its_secret(
    tmp_path: Path, name: str, value: str, why: str
) -> None:
    (problem,) = problems(data_dir=tmp_path, **{name: value})
    assert problem.startswith(f"CALLOUT_{name.upper()}: ")
    assert why in problem
    assert "tr0ub" not in problem


def test_settings_at_their_limits_are_accepted(tmp_path: Path) -> None:
    assert development(tmp_path, jwt_secret="é" * 16).jwt_secret == "é" * 16
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert development(tmp_path, imap_url=f"imap://u:p@{host}/INBOX").imap_url == f"imap://u:p@{host}/INBOX"
    assert development(tmp_path, imap_url="imaps://u:p@mail.test/INBOX").imap_url == "imaps://u:p@mail.test/INBOX"


def test_origins_are_separated_by_commas(tmp_path: Path) -> None:
    made = development(tmp_path, allowed_origins=" https://a.test , ,https://b.test:8443,")
    assert made.allowed_origins == ("https://a.test", "https://b.test:8443")
    assert development(tmp_path).allowed_origins == ()


@pytest.mark.parametrize(
    "origin", ["https://a.test", "http://127.0.0.1:5173", "http://[::1]:3000", "https://xn--bcher-kva.test"]
)
def test_an_origin_is_what_a_browser_sends(tmp_path: Path, origin: str) -> None:
    assert development(tmp_path, allowed_origins=origin).allowed_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "null", "a.test", "//a.test", "https://", "ftp://a.test", "https://a.test/", "https://a.test/path"),
        *("https://A.test", "HTTPS://a.test", "https://a.test:443", "http://a.test:80", "https://a.test:0"),
        *("https://a.test:99999", "https://u@a.test", "https://a.test?", "https://a.test#", "https://*.a.test"),
        *("https://bücher.test", "https://a b.test"),
    ],
)
def test_anything_else_is_no_origin(tmp_path: Path, origin: str) -> None:
    with pytest.raises(InvalidSettings, match=r"CALLOUT_ALLOWED_ORIGINS: .* is not an origin"):
        development(tmp_path, allowed_origins=origin)


def test_pages_of_the_apis_own_origin_may_open_sockets(tmp_path: Path) -> None:
    listed = "https://a.example"
    assert development(tmp_path, allowed_origins=listed).origins == (listed,)
    given = development(tmp_path, allowed_origins=listed, api_url="https://API.example:8443/callout")
    assert given.origins == (listed, "https://api.example:8443")


def test_authserv_ids_are_separated_by_commas(tmp_path: Path) -> None:
    made = development(tmp_path, mail_authserv_id="MX.Maple.test, mx_2.maple.test ,,-")
    assert made.own_mail.servers == {"mx.maple.test", "mx_2.maple.test", "-"}
    assert development(tmp_path).own_mail.servers == set()
    for wrong in ("mx.maple.test; dmarc=pass", "mx.maple.test mx2.maple.test", "mx.maple.test.", "--", "(mx)", "a@b"):
        assert problems(data_dir=tmp_path, mail_authserv_id=f"mx.maple.test,{wrong}") == [
            "CALLOUT_MAIL_AUTHSERV_ID: must be authserv-ids such as mx.example.com, separated by commas"
        ]


@pytest.mark.parametrize("which", ["lists", "forms"])
def test_lists_and_forms_are_addresses_separated_by_commas(tmp_path: Path, which: str) -> None:
    made = development(tmp_path, **{f"mail_{which}": "Help@Maple.test, ,x@bücher.example"})
    assert getattr(made.own_mail, which) == {"help@maple.test", "x@xn--bcher-kva.example"}
    (problem,) = problems(data_dir=tmp_path, **{f"mail_{which}": "help@maple.test,maple.test"})
    assert problem.startswith(f"CALLOUT_MAIL_{which.upper()}: is not a valid address")


def test_a_mailbox_needs_a_password_or_whatever_gets_a_token(tmp_path: Path) -> None:
    url = {"imap_url": "imaps://u@mail.test/INBOX"}
    oauth = {"imap_oauth_token_url": "https://login.test/token", "imap_oauth_client_id": "callout"}
    assert development(tmp_path, imap_url="imaps://u:p@mail.test/INBOX").imap_oauth is None
    for secret in ("client_secret", "refresh_token"):
        client = development(tmp_path, **url, **oauth, **{f"imap_oauth_{secret}": "tr0ubador"}).imap_oauth
        assert client is not None
        assert "tr0ubador" not in repr(client)
    for given, why in (
        (url, "IMAP_URL has no password"),
        (url | {"imap_oauth_token_url": oauth["imap_oauth_token_url"]}, "must be set together"),
        (url | oauth, "CALLOUT_IMAP_OAUTH_REFRESH_TOKEN must be set as well"),
        (oauth | {"imap_oauth_token_url": "http://login.test/token"}, "must start with https://"),
    ):
        assert why in problems(data_dir=tmp_path, **given)[0]


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/callout")
    made = load(data_dir="data", mail_dir="~/mail", templates_dir="templates")
    assert (made.data_dir, made.mail_dir, made.templates_dir) == (
        tmp_path / "data",
        Path("/home/callout/mail"),
        tmp_path / "templates",
    )
    assert made.mail_folder == Path("/home/callout/mail")
    assert load(data_dir="data").mail_folder == tmp_path / "data" / "mail"


def test_derived_settings(tmp_path: Path) -> None:
    plain = development(tmp_path, port=8123)
    assert (plain.bell_url, plain.link_base, plain.smtp_server) == ("postgres://", "http://127.0.0.1:8123", None)
    assert plain.reply_to == plain.sender
    assert development(tmp_path, pubsub_url="redis://127.0.0.1").bell_url == "redis://127.0.0.1"
    assert load(**PRODUCTION).link_base is None
    assert load(**PRODUCTION, public_url="https://callout.test/app/").link_base == "https://callout.test/app"
    made = load(**PRODUCTION, mail_from="Maple <Help@Maple.test>", mail_reply_to="Desk@Elsewhere.test")
    assert made.reply_to.address == "Desk@elsewhere.test"
    assert made.own_mail == OwnMail(frozenset({"help@maple.test", "desk@elsewhere.test"}), made.sender.domain)


def test_each_audience_has_links_of_its_own_or_those_below_the_public_url(tmp_path: Path) -> None:
    public = {"public_url": "https://callout.test/app/"}
    page = "https://callout.test/app/tickets/{reference}"
    assert load(**PRODUCTION).ticket_links == TicketLinks()
    assert load(**PRODUCTION, **public).ticket_links == TicketLinks(page, page, page)
    urls = {"portal_url": "https://p.test/", "device_url": "https://d.test/?a=1#/jobs/{id}"}
    own = ("https://p.test/tickets/{reference}", None, "https://d.test/?a=1#/jobs/{id}")
    assert load(**PRODUCTION, **urls).ticket_links == TicketLinks(*own)
    assert load(**PRODUCTION, **urls, **public).ticket_links == TicketLinks(own[0], page, own[2])


def test_the_company_has_the_name_of_the_sender_unless_it_has_its_own(tmp_path: Path) -> None:
    assert development(tmp_path).company == CompanyProfile("Callout", None, ZoneInfo("UTC"))
    sender = {"mail_from": "Maple Alarms <help@maple.test>", "time_zone": "Europe/Zurich"}
    made = development(tmp_path, **sender, company_logo_url="https://maple.test/l.png").company
    assert made == CompanyProfile("Maple Alarms", "https://maple.test/l.png", ZoneInfo("Europe/Zurich"))
    assert development(tmp_path, **sender, company_name="Maple Ltd.").company.name == "Maple Ltd."
    assert development(tmp_path, mail_from="help@maple.test").company.name == "Callout"


# Production


def test_production_has_no_defaults_for_required_settings() -> None:
    assert problems(env="production", smtp_url="smtp://mail.test") == [
        "CALLOUT_DATABASE_URL must be set in production: the embedded server is for development.",
        "CALLOUT_JWT_SECRET, CALLOUT_JWT_JWKS_URL or CALLOUT_JWT_ISSUERS must be set in production;"
        " `openssl rand -base64 48` makes a good secret.",
        "CALLOUT_MAIL_FROM must be set in production to send mail: Callout <support@example.com>.",
    ]


def test_push_services_must_know_whom_to_ask_in_production() -> None:
    key = VapidKey.generate().text
    given: dict[str, Any] = PRODUCTION | {"push_private_key": key}
    (problem,) = problems(**given)
    assert problem == "CALLOUT_PUSH_CONTACT must be set in production: mailto:support@example.com."
    assert load(**given, push_contact="mailto:ops@company.test").push_contact_url == "mailto:ops@company.test"
    assert load(**given, mail_from="Maple <help@maple.test>").push_contact_url == "mailto:help@maple.test"


def test_production_refuses_a_development_secret() -> None:
    assert problems(**PRODUCTION | {"jwt_secret": "development-" + "x" * 32}) == [
        "CALLOUT_JWT_SECRET is a development secret, which must not be used in production."
    ]


def test_a_previous_secret_is_as_good_as_the_current_one() -> None:
    assert problems(**PRODUCTION, jwt_secret_previous="development-" + "x" * 32) == [
        "CALLOUT_JWT_SECRET_PREVIOUS is a development secret, which must not be used in production."
    ]
    assert problems(**PRODUCTION, jwt_secret_previous="x" * 32) == [
        "CALLOUT_JWT_SECRET_PREVIOUS: is the same as CALLOUT_JWT_SECRET: set that to a new secret, or unset this one"
    ]
    issued = PRODUCTION | {"jwt_secret": None, "jwt_jwks_url": "https://issuer.test/keys"}
    assert problems(**issued, jwt_secret_previous="y" * 32) == [
        "CALLOUT_JWT_SECRET_PREVIOUS is set, but CALLOUT_JWT_SECRET is not: set both, or neither."
    ]
    assert load(**PRODUCTION, jwt_secret_previous="y" * 32).jwt_secret_previous == "y" * 32


def test_the_issuers_url_must_be_https_or_local_in_production() -> None:
    issued = {name: value for name, value in PRODUCTION.items() if name != "jwt_secret"}
    for url in ("http://issuer.test/keys", "ftp://issuer.test/keys"):
        assert problems(**issued, jwt_jwks_url=url) == ["CALLOUT_JWT_JWKS_URL must start with https:// in production."]
    for url in ("https://issuer.test/keys", "http://127.0.0.1:8080/keys", "http://[::1]/keys", "http://localhost/keys"):
        made = load(**issued, jwt_jwks_url=url)
        assert (made.jwt_jwks_url, made.jwt_secret) == (url, None)


# The development secret


def test_a_development_secret_is_created_once_and_readable_only_by_its_owner(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "data"
    with ThreadPoolExecutor(8) as threads:
        made = {each.jwt_secret for each in threads.map(lambda _: load(data_dir=directory), range(16))}
    (secret,) = made
    assert secret is not None and secret.startswith("development-") and len(secret) > 60
    (kept,) = directory.iterdir()
    assert (kept.name, stat.S_IMODE(kept.stat().st_mode)) == ("development-secret", 0o600)
    assert load(data_dir=tmp_path).jwt_secret != secret


PROVIDER = '{"issuer": "https://login.test/", "audience": "callout"}'


def test_identity_providers_are_enough_in_production_and_their_urls_are_encrypted() -> None:
    only = PRODUCTION | {"jwt_secret": None}
    (issuer,) = load(**only, jwt_issuers=PROVIDER).jwt_issuers
    assert (issuer.issuer, str((issuer,))) == ("https://login.test/", "(login.test,)")
    assert load(**only, jwt_issuers=PROVIDER.replace("https://login.test", "http://127.0.0.1:8080")).jwt_issuers
    insecure = PROVIDER.replace("https:", "http:")
    hidden = PROVIDER.replace("}", ', "jwks_url": "http://login.test/keys"}')
    for setting in (insecure, hidden):
        assert problems(**only, jwt_issuers=setting) == [
            "CALLOUT_JWT_ISSUERS: the URLs of login.test must start with https:// in production."
        ]


def with_browser(browser: str) -> str:
    return PROVIDER.replace("}", f', "browser": {browser}}}')


def test_a_provider_returns_browsers_to_a_known_url() -> None:
    assert problems(**PRODUCTION, jwt_issuers=with_browser('{"client_id": "c"}')) == [
        "CALLOUT_PUBLIC_URL must be set in production: providers in CALLOUT_JWT_ISSUERS return browsers there."
    ]


def test_identity_providers_are_refused_with_a_sentence(tmp_path: Path) -> None:
    for setting, why in (
        ("{", "is not JSON: Expecting property name enclosed in double quotes, line 1, column 2"),
        (
            PROVIDER.replace("audience", "audiance"),
            "issuer 1, audience is missing; issuer 1, audiance is no setting; is it audience?",
        ),
        (with_browser('{"client_id": "c", "lable": "A"}'), "issuer 1, browser.lable is no setting; is it label?"),
        (
            with_browser('{"client_id": "c", "scopes": "email"}'),
            "issuer 1, browser.scopes must have openid, and no spaces",
        ),
        (
            with_browser('{"client_id": "c", "client_secret_file": "/nowhere/at/all"}'),
            "issuer 1, browser client_secret_file cannot be read: No such file or directory",
        ),
        (
            with_browser('{"client_id": "c", "client_secret": "s", "client_secret_file": "/dev/null"}'),
            "issuer 1, browser client_secret and client_secret_file are both set: unset one of them",
        ),
    ):
        assert problems(data_dir=tmp_path, jwt_issuers=setting) == [f"CALLOUT_JWT_ISSUERS: {why}"]
    (problem,) = problems(data_dir=tmp_path, jwt_issuers=PROVIDER, jwt_issuer="https://login.test/")
    assert problem.startswith("CALLOUT_JWT_ISSUERS: has the issuer of CALLOUT_JWT_ISSUER, ")


def test_a_claim_mapping_needs_an_issuer_with_keys(tmp_path: Path) -> None:
    mapping = '{"role": "realm_access.roles", "roles": {"dispatcher": "admin"}}'
    made = development(tmp_path, jwt_jwks_url="https://login.test/keys", jwt_claims=mapping).jwt_claims
    assert made is not None
    assert made.role == ("realm_access.roles",)
    (problem,) = problems(data_dir=tmp_path, jwt_claims=mapping)
    assert problem.startswith("CALLOUT_JWT_CLAIMS: is set, but CALLOUT_JWT_JWKS_URL is not")
    assert problems(data_dir=tmp_path, jwt_jwks_url="https://login.test/keys", jwt_claims='{"roel": "x"}') == [
        "CALLOUT_JWT_CLAIMS: roel is no setting; is it role?"
    ]


def test_no_secret_is_created_if_an_issuer_or_a_secret_is_set(tmp_path: Path) -> None:
    assert development(tmp_path, jwt_jwks_url="http://issuer.test/keys").jwt_secret is None
    assert development(tmp_path, jwt_secret="x" * 32).jwt_secret == "x" * 32
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_data_directory_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (problem,) = problems(data_dir=tmp_path / "file")
    assert problem.startswith(f"CALLOUT_DATA_DIR: {tmp_path}/file/development-secret cannot be used: ")


@pytest.mark.parametrize(
    ("module", "given", "start"),
    [
        ("opentelemetry.trace", {"tracing": True}, tracing.start),
        ("opentelemetry.sdk.trace", {"tracing": True}, tracing.start),
        ("sentry_sdk", {"sentry_dsn": "https://public@sentry.test/1"}, faults.start),
        ("notifiers.web_push", {"push_private_key": VapidKey.generate().text}, channels_of),
    ],
)
def test_what_needs_an_extra_says_which_if_it_is_not_installed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    given: dict[str, Any],
    start: Callable[[Settings], object],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (name,) = given
    with pytest.raises(InvalidSettings, match=f"CALLOUT_{name.upper()} needs .* install `callout\\[") as refused:
        start(development(tmp_path, **given))
    assert "sentry.test" not in str(refused.value)
    start(development(tmp_path))  # not asked for, so not missed


def test_a_dsn_that_is_none_is_refused_without_its_text(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="CALLOUT_SENTRY_DSN is not a DSN") as refused:
        faults.start(development(tmp_path, sentry_dsn="tr0ubador"))
    assert "tr0ub" not in str(refused.value)


def test_metrics_have_ports_of_their_own(tmp_path: Path) -> None:
    assert development(tmp_path, port=8000, metrics_port=9464).metrics_host == "127.0.0.1"
    assert development(tmp_path, port=8000, workers=2, metrics_port=8001).metrics_port == 8001
    for taken in (8000, 7999):
        (problem,) = problems(data_dir=tmp_path, port=8000, workers=2, metrics_port=taken)
        assert problem.startswith("CALLOUT_METRICS_PORT: must not lead to CALLOUT_PORT")
    (problem,) = problems(data_dir=tmp_path, metrics_token="tr0ubador")
    assert "at least 16 characters" in problem
    assert "tr0ub" not in problem
