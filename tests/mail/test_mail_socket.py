"""Messages that `callout mail-in` hands over to a running server."""

from __future__ import annotations

import re
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.limits import MAIL_BYTES_MAX
from tests.cli.test_imports import HEAVY
from tests.helpers.database_checks import Database
from tests.helpers.inbound_mail import Pipe, environment, message
from tests.helpers.process import callout_process
from tests.mail.test_inbound import address

SLOW = HEAVY | {"asyncpg", "sqlalchemy", "pydantic", "pydantic_settings", "notifiers", "resolvers", "email"}
SUBJECTS = "SELECT subject FROM inbound_messages WHERE from_address = $1"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mail-socket")


@pytest.fixture(scope="module")
def settings(database_url: str, directory: Path) -> dict[str, str]:
    return {
        "database_url": database_url,
        "jwt_secret": "s" * 48,
        "files_url": (directory / "store").as_uri(),
        "mail_socket": str(directory / "mail.socket"),
    }


@pytest.fixture(scope="module")
def pipe(settings: dict[str, str], directory: Path) -> Iterator[Pipe]:
    """The command, which has only the path of the socket: without the server it could do nothing."""
    with callout_process(directory, **settings):
        yield Pipe(environment(mail_socket=settings["mail_socket"]))
    assert not Path(settings["mail_socket"]).exists()


async def test_a_server_receives_what_is_piped_in(pipe: Pipe, database: Database) -> None:
    sender = address()
    given = message(sender, subject="Handed over", message_id="<1@bell.test>")
    assert re.fullmatch("TICKET_CREATED TKT-[A-Z0-9]{6}", pipe.take(given))
    assert pipe.take(given) == "DUPLICATE"
    assert pipe.take(message(address(), "x" * MAIL_BYTES_MAX)).startswith("KEPT_ASIDE The message is larger than 25")
    assert [row["subject"] for row in await database.fetch(SUBJECTS, sender)] == ["Handed over"]


def test_to_hand_a_message_over_imports_little(pipe: Pipe) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "callout", "mail-in"]
    done = subprocess.run(command, input=message(), env=pipe.environment, capture_output=True, timeout=60, check=True)
    imported = {name.partition(".")[0] for name in re.findall(r"\|\s+([\w.]+)$", done.stderr.decode(), re.MULTILINE)}
    assert imported > {"callout", "click"}
    assert imported & SLOW == set()


def test_only_the_owner_reaches_the_socket(pipe: Pipe) -> None:
    assert stat.S_IMODE(Path(pipe.environment["CALLOUT_MAIL_SOCKET"]).stat().st_mode) == 0o600


async def test_a_message_that_arrives_in_part_is_not_received(pipe: Pipe, database: Database) -> None:
    sender = address()
    raw = message(sender, subject="Cut short")
    for given in (b"%d\n" % (len(raw) + 1) + raw, raw, b"-1\n" + raw, b"9" * 19 + b"\n" + raw, b"9" * 100_000, b""):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(pipe.environment["CALLOUT_MAIL_SOCKET"])
            client.sendall(given)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
    assert await database.fetch(SUBJECTS, sender) == []
    assert pipe.take(message(sender)).startswith("TICKET_CREATED")


def test_what_a_server_cannot_receive_is_sent_again_later(pipe: Pipe, directory: Path) -> None:
    store, files = directory / "store", directory / "files"
    store.rename(files)
    store.write_text("no folder")
    parts = ("", "\r\nSee it.\r\n", "\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\n%PDF\r\n", "--")
    with_file = message(address(), "--b".join(parts), content_type="multipart/mixed; boundary=b")
    try:
        done = pipe(with_file)
    finally:
        store.unlink()
        files.rename(store)
    assert (done.returncode, done.stdout) == (75, b"")
    assert done.stderr.startswith(b"The message could not be received: ") and b"Traceback" not in done.stderr
    assert pipe.take(with_file).startswith("TICKET_CREATED")


@pytest.mark.parametrize("answer", [None, b"", b"0 TICKET"], ids=["nobody", "silent", "cut off"])
def test_without_an_answer_the_command_receives_the_message_itself(
    settings: dict[str, str], tmp_path: Path, answer: bytes | None
) -> None:
    path = str(tmp_path / "mail.socket")
    alone = Pipe(environment(**settings | {"mail_socket": path, "env": "production", "data_dir": str(tmp_path)}))
    if answer is None:
        assert alone.take(message(address())).startswith("TICKET_CREATED")
        return
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        server = threading.Thread(target=_answer_one, args=(listener, answer))
        server.start()
        assert alone.take(message(address())).startswith("TICKET_CREATED")
        server.join(30)


def _answer_one(listener: socket.socket, answer: bytes) -> None:
    """Answers one client, once it has sent its message, and ends."""
    client, _ = listener.accept()
    with client, client.makefile("rb") as given:
        given.read(int(given.readline()))
        client.sendall(answer)
