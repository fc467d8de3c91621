"""The data directory and the folder for mail belong to their owner alone, also if they were open to others before."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from callout.notification_channels import channels_of
from callout.settings import load
from db.enums import DeliveryChannel
from db.private_files import make_data_directory, make_mail_folder
from tests.helpers.notifications import notification

DATA = 0o700 if os.geteuid() else 0o710  # the server that root starts runs as another user, who passes through
MAKE = {"data": (make_data_directory, DATA), "mail": (make_mail_folder, 0o700)}
OURS = {"data": "development-secret", "mail": "20261130T081500.000000Z-TKT-A2B4C3-1.eml"}


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("kind", MAKE)
def test_a_new_directory_is_its_owners_alone(tmp_path: Path, kind: str) -> None:
    make, _ = MAKE[kind]
    make(tmp_path / "new" / "one")
    assert mode(tmp_path / "new" / "one") == 0o700


@pytest.mark.parametrize("kind", MAKE)
def test_an_old_directory_and_its_files_are_closed(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    make, closed = MAKE[kind]
    directory = tmp_path / "old"
    directory.mkdir(mode=0o777)
    file = directory / OURS[kind]
    file.write_text("secret")
    assert mode(file) == 0o666
    for _ in range(2):
        make(directory)
        assert (mode(directory), mode(file), file.read_text()) == (closed, 0o600, "secret")
        assert len(caplog.messages) == 2


@pytest.mark.parametrize("kind", MAKE)
def test_a_directory_with_files_of_other_programs_stays_as_it_is(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be somebody's home, or /tmp."""
    make, _ = MAKE[kind]
    directory = tmp_path / "shared"
    directory.mkdir(mode=0o755)
    theirs, ours = directory / "theirs", directory / OURS[kind]
    for path in (theirs, ours):
        path.touch(mode=0o644)
    make(directory)
    assert (mode(directory), mode(theirs), mode(ours)) == (0o755, 0o644, 0o600)
    assert "has files of other programs" in caplog.text


@pytest.mark.parametrize("kind", MAKE)
def test_what_a_link_leads_to_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    make, _ = MAKE[kind]
    target = tmp_path / "target"
    target.touch(mode=0o644)
    directory = tmp_path / "directory"
    directory.mkdir(mode=0o700)
    (directory / OURS[kind]).symlink_to(target)
    make(directory)
    assert mode(target) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("kind", MAKE)
def test_what_belongs_to_another_user_is_reported(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    make, _ = MAKE[kind]
    directory = tmp_path / "theirs"
    directory.mkdir(mode=0o755)
    file = directory / OURS[kind]
    file.touch(mode=0o644)
    for path in (directory, file):
        os.chown(path, 12_345, 12_345)
    make(directory)
    assert (mode(directory), mode(file)) == (0o755, 0o644)
    assert caplog.text.count("only the one it belongs to") == 2


def test_a_secret_that_others_could_read_is_kept_and_closed(tmp_path: Path) -> None:
    secret = load(data_dir=tmp_path / "data").jwt_secret
    file = tmp_path / "data" / "development-secret"
    file.chmod(0o644)
    (tmp_path / "data").chmod(0o755)
    assert load(data_dir=tmp_path / "data").jwt_secret == secret
    assert (mode(file), mode(tmp_path / "data")) == (0o600, DATA)


@pytest.mark.parametrize("old", [False, True])
async def test_mail_is_written_for_its_owner_alone(tmp_path: Path, old: bool) -> None:
    folder = tmp_path / "folder"
    if old:
        folder.mkdir(mode=0o777)
    channels = channels_of(load(data_dir=tmp_path / "data", mail_dir=folder))
    if old:
        assert mode(folder) == 0o700, "closed at the start"
    await channels[DeliveryChannel.EMAIL].send(notification())
    (mail,) = folder.iterdir()
    assert (mode(folder), mode(mail)) == (0o700, 0o600)
    for channel in channels.values():
        await channel.close()
