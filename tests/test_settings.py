"""Settings: convenient in development, unyielding in production, and silent about secrets."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from callout import settings
from callout.settings import InvalidSettings, Settings

SECRET = "correct-horse-battery-staple-correct-horse"
URL = "postgresql://callout:swordfish@db.test:5432/callout"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, _, _ in settings.documentation():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that production accepts."""
    monkeypatch.setenv("CALLOUT_ENV", "production")
    monkeypatch.setenv("CALLOUT_DATABASE_URL", URL)
    monkeypatch.setenv("CALLOUT_JWT_SECRET", SECRET)
    return monkeypatch


def problems() -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        settings.load()
    return caught.value.problems


def test_development_needs_nothing(tmp_path: Path) -> None:
    loaded = settings.load()
    assert (loaded.env, loaded.host, loaded.port, loaded.database_url) == ("development", "127.0.0.1", 8000, None)
    assert loaded.data_dir == tmp_path / ".data"
    assert loaded.log_format == "text"


def test_the_secret_of_development_stays_and_is_its_owners_alone(tmp_path: Path) -> None:
    first, second = settings.load(), settings.load()
    assert first.jwt_secret is not None and first.jwt_secret == second.jwt_secret
    (file,) = (tmp_path / ".data").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_production_takes_what_is_safe(production: pytest.MonkeyPatch) -> None:
    loaded = settings.load()
    assert loaded.production
    assert loaded.log_format == "json"
    assert not loaded.data_dir.exists()


def test_production_makes_nothing_up(production: pytest.MonkeyPatch) -> None:
    production.delenv("CALLOUT_DATABASE_URL")
    production.delenv("CALLOUT_JWT_SECRET")
    database, secret = problems()
    assert database.startswith("CALLOUT_DATABASE_URL must be set")
    assert secret.startswith("CALLOUT_JWT_SECRET or CALLOUT_JWT_JWKS_URL must be set")


def test_production_refuses_a_secret_of_development(production: pytest.MonkeyPatch) -> None:
    made_up = Settings(env="development", jwt_secret=None).jwt_secret
    assert made_up is not None
    production.setenv("CALLOUT_JWT_SECRET", made_up)
    (problem,) = problems()
    assert "development secret" in problem


def test_an_issuers_keys_do_in_place_of_a_secret_and_come_over_tls(production: pytest.MonkeyPatch) -> None:
    production.delenv("CALLOUT_JWT_SECRET")
    production.setenv("CALLOUT_JWT_JWKS_URL", "https://issuer.test/keys")
    assert settings.load().jwt_secret is None
    production.setenv("CALLOUT_JWT_JWKS_URL", "http://issuer.test/keys")
    assert problems() == ["CALLOUT_JWT_JWKS_URL must start with https:// in production."]


def test_all_that_is_wrong_is_said_at_once_and_no_secret_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLOUT_PORT", "65536")
    monkeypatch.setenv("CALLOUT_LOG_LEVEL", "loud")
    monkeypatch.setenv("CALLOUT_JWT_SECRET", "swordfish")
    monkeypatch.setenv("CALLOUT_DATABASE_URL", "mysql://callout:swordfish@db.test/callout")
    found = problems()
    assert {problem.split(":")[0] for problem in found} == {
        "CALLOUT_PORT",
        "CALLOUT_LOG_LEVEL",
        "CALLOUT_JWT_SECRET",
        "CALLOUT_DATABASE_URL",
    }
    assert "swordfish" not in "".join(found)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://callout:swordfish@db.test:5432/callout",
        "postgres://callout:swordfish@db.test:5432/callout",
        URL,
    ],
)
def test_every_way_to_write_the_urls_scheme_is_read(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CALLOUT_DATABASE_URL", url)
    assert settings.load().database_url == URL


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.test",
        "postgresql://callout:tuna/1@db.test/callout",
        "postgresql://callout:1/tuna@db.test/callout",
        "tuna",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CALLOUT_DATABASE_URL", url)
    (problem,) = problems()
    assert problem.startswith("CALLOUT_DATABASE_URL: ")
    assert "tuna" not in problem


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLOUT_DATABASE_URL", "")
    assert settings.load().database_url is None


def test_secrets_are_not_in_what_is_printed_of_settings(production: pytest.MonkeyPatch) -> None:
    printed = repr(settings.load())
    assert SECRET not in printed
    assert "swordfish" not in printed


def test_a_misspelt_variable_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLOUT_PROT", "80")
    assert "CALLOUT_PROT" in settings.unknown_variables()
