"""A device client that works offline: it keeps a copy of the technician's tickets and a queue of what was done.

pip install httpx
DEVICE_TOKEN=… python examples/device.py http://127.0.0.1:8000 device.db
DEVICE_TOKEN=… python examples/device.py http://127.0.0.1:8000 device.db note ticketId=tkt_… body='The key is here.'

DEVICE_TOKEN=… python examples/device.py http://127.0.0.1:8000 device.db attachment ticketId=tkt_… file=panel.jpg

Both are in one SQLite file, so the app can be killed at any time. `sync` takes two requests: it sends the queue, and
follows the tickets from the last cursor on until nothing is missing. Then it uploads what was attached, and goes on
where an upload was cut off.
"""

import asyncio
import hashlib
import json
import mimetypes
import os
import sqlite3
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

MINE = {"assignee": {"me": True}, "not": {"status": ["CLOSED"]}}
COMMANDS_MAX = 100
PASSING = (408, 409, 429)  # of an upload, besides all from 500: it goes on later
MALFORMED = ("BAD_REQUEST", "BAD_USER_INPUT", "BODY_TOO_LARGE")
TICKET = "fragment ticket on Ticket { id version reference subject description status priority resolution }"
LIST = (
    """query ($filter: TicketFilter, $after: String) {
  tickets(filter: $filter, first: 100, after: $after) {
    streamCursor pageInfo { hasNextPage endCursor } nodes { ...ticket } } } """
    + TICKET
)
APPLY = (
    """mutation ($input: CommandsApplyInput!) { commandsApply(input: $input) {
  results { key outcome conflicts uploadUrl ticket { ...ticket } userErrors { message } }
  userErrors { message } } } """
    + TICKET
)
MISSED = (
    """subscription ($filter: TicketFilter, $after: String) { ticketChanged(filter: $filter, after: $after) {
  __typename
  ... on TicketChange { cursor change key ticketId ticket { ...ticket } }
  ... on StreamReady { cursor } ... on StreamReset { cursor reason } } } """
    + TICKET
)
TABLES = """
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tickets (id TEXT PRIMARY KEY, version INTEGER NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS commands (
    place INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, command TEXT NOT NULL, answer TEXT);
CREATE TABLE IF NOT EXISTS files (key TEXT PRIMARY KEY, data BLOB NOT NULL, url TEXT);
"""


class NotNow(Exception):
    """The server cannot be reached, or asks to wait: try again later. Nothing is lost."""


class Malformed(ValueError):
    """The server cannot read the request, or it is too large: the same again would be refused again."""


class SignedOut(Exception):
    """The token is no longer valid, or the device is somebody else's: sign in again."""


class Device:
    """The copy and the queue in the SQLite file `path`, for one user of the server at `url`. `token` returns a valid
    token, and is called for each request."""

    def __init__(self, path: str, url: str, token: Callable[[], str], client: httpx.AsyncClient) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._client = client
        self._store = sqlite3.connect(path, isolation_level=None)
        self._store.executescript(TABLES)
        self._store.execute("INSERT OR IGNORE INTO state VALUES ('device', ?)", (str(uuid.uuid4()),))

    def do(self, kind: str, **command: Any) -> str:
        """Queues a command, such as `do("resolve", ticketId=…, resolution=…)`, and returns its key. It shows in
        `tickets` at once."""
        return self._queue(kind, command)

    def attach(self, data: bytes, **command: Any) -> str:
        """Queues a file with the command that attaches it, such as `attach(photo, name="panel.jpg",
        contentType="image/jpeg", ticketId=…)`, and returns the command's key."""
        described = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        return self._queue("attachment", command | described, data)

    def _queue(self, kind: str, command: dict[str, Any], file: bytes | None = None) -> str:
        key = str(uuid.uuid4())
        found = self._store.execute("SELECT version FROM tickets WHERE id = ?", (command.get("ticketId"),)).fetchone()
        based = {"baseVersion": found[0]} if found and kind in ("note", "status", "resolve") else {}
        given = {"key": key, "occurredAt": datetime.now(UTC).isoformat(), **based, **command}
        with self._transaction() as store:
            store.execute("INSERT INTO commands (key, command) VALUES (?, ?)", (key, json.dumps({kind: given})))
            if file is not None:
                store.execute("INSERT INTO files VALUES (?, ?, NULL)", (key, file))
        return key

    def tickets(self) -> list[dict[str, Any]]:
        """The copy, as it will be once the queue has been sent."""
        rows = self._store.execute("SELECT document FROM tickets ORDER BY id")
        tickets = {document["id"]: document for (row,) in rows if (document := json.loads(row))}
        for _, command in self.waiting():
            ((kind, given),) = command.items()
            shown = {"status": given["status"]} if kind == "status" else {}
            if kind == "resolve":
                shown = {"status": "RESOLVED", "resolution": given["resolution"]}
            tickets.get(given.get("ticketId"), {}).update(shown)
        return list(tickets.values())

    def waiting(self) -> list[tuple[int, dict[str, Any]]]:
        """The commands that have not been sent, whose answer has not arrived, or whose file has not, in order."""
        rows = self._store.execute("SELECT place, command FROM commands WHERE answer IS NULL ORDER BY place")
        return [(place, json.loads(command)) for place, command in rows]

    def unsettled(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The commands that were in conflict or refused, each with its result, for the user to decide."""
        rows = self._store.execute("SELECT command, answer FROM commands WHERE answer IS NOT NULL ORDER BY place")
        return [(json.loads(command), json.loads(answer)) for command, answer in rows]

    def forget(self, key: str) -> None:
        """Removes a command, and its file: the user has seen what became of it."""
        with self._transaction():
            self._remove(key)

    async def sync(self) -> None:
        """Sends the queue and catches up. Raises `NotNow` and `SignedOut`; call it again after either."""
        try:
            await self._send_all()
            if self._state("cursor") is None:
                await self._read_all()
            while not await self._catch_up():
                await self._read_all()
            while (file := self._to_upload()) is not None:
                await self._upload(*file)
                await self._send_all()
        except httpx.HTTPError as error:
            raise NotNow(str(error) or type(error).__name__) from error

    async def _send_all(self) -> None:
        unsent = """SELECT command FROM commands WHERE answer IS NULL
            AND key NOT IN (SELECT key FROM files WHERE url IS NOT NULL) ORDER BY place LIMIT ?"""
        while rows := self._store.execute(unsent, (COMMANDS_MAX,)).fetchall():
            await self._send([json.loads(command) for (command,) in rows])

    async def _send(self, commands: list[dict[str, Any]]) -> None:
        """Sends commands. One that the server cannot read spoils a whole request, so the halves are sent then, until
        that command is alone: it is set aside, and holds up no other."""
        input = {"deviceId": self._state("device"), "commands": commands}
        try:
            payload = (await self._ask(APPLY, {"input": input}))["commandsApply"]
        except Malformed as error:
            half = len(commands) // 2
            if half:
                await self._send(commands[:half])
                await self._send(commands[half:])
            else:
                ((_, given),) = commands[0].items()
                self._settle(_rejected(given["key"], str(error)))
            return
        if payload["userErrors"]:
            raise SignedOut(payload["userErrors"][0]["message"])
        with self._transaction() as store:
            for result in payload["results"]:
                if result["outcome"] not in ("APPLIED", "REPLAYED"):
                    self._settle(result)
                elif result["uploadUrl"] is not None:
                    store.execute("UPDATE files SET url = ? WHERE key = ?", (result["uploadUrl"], result["key"]))
                else:
                    self._remove(result["key"])
                if result["ticket"]:
                    self._keep(result["ticket"])

    def _remove(self, key: str) -> None:
        for table in ("commands", "files"):
            self._store.execute(f"DELETE FROM {table} WHERE key = ?", (key,))

    def _settle(self, result: dict[str, Any]) -> None:
        """Sets a command aside with its result."""
        self._store.execute("UPDATE commands SET answer = ? WHERE key = ?", (json.dumps(result), result["key"]))

    def _to_upload(self) -> tuple[str, str, bytes] | None:
        """The key of a command that has been sent, where to upload its file, and the file."""
        found: tuple[str, str, bytes] | None = self._store.execute(
            "SELECT key, url, data FROM files WHERE url IS NOT NULL ORDER BY rowid LIMIT 1"
        ).fetchone()
        return found

    async def _upload(self, key: str, url: str, data: bytes) -> None:
        """Uploads what the server does not have yet of a command's file, by the tus protocol
        (https://tus.io/protocols/resumable-upload), and removes the command. The URL is the credential."""
        at, headers = urljoin(f"{self._url}/", url), {"Tus-Resumable": "1.0.0"}
        response = await self._client.head(at, headers=headers)
        if response.status_code == 200 and (offset := _offset(response)) < len(data):
            headers |= {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
            response = await self._client.patch(at, content=data[offset:], headers=headers)
        with self._transaction():
            if response.status_code in (200, 204):
                if _offset(response) == len(data):
                    self._remove(key)
            elif response.status_code == 404:
                self._queue_anew(key)
            elif response.status_code in PASSING or response.status_code >= 500:
                raise NotNow(f"HTTP {response.status_code}")
            else:
                self._store.execute("UPDATE files SET url = NULL WHERE key = ?", (key,))
                self._settle(_rejected(key, f"The file was refused: HTTP {response.status_code}."))

    def _queue_anew(self, key: str) -> None:
        """Gives a command a new key, with which it is sent again: the upload has expired, and so has the attachment."""
        anew = str(uuid.uuid4())
        (text,) = self._store.execute("SELECT command FROM commands WHERE key = ?", (key,)).fetchone()
        command = json.loads(text)
        command["attachment"]["key"] = anew
        self._store.execute("UPDATE commands SET key = ?, command = ? WHERE key = ?", (anew, json.dumps(command), key))
        self._store.execute("UPDATE files SET key = ?, url = NULL WHERE key = ?", (anew, key))

    async def _read_all(self) -> None:
        """Reads the copy anew. Its cursor is the one of the first page: later events replace older versions."""
        cursor = after = None
        nodes: list[dict[str, Any]] = []
        while True:
            page = (await self._ask(LIST, {"filter": MINE, "after": after}))["tickets"]
            cursor, nodes = cursor or page["streamCursor"], nodes + page["nodes"]
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]
        with self._transaction() as store:
            store.execute("DELETE FROM tickets")
            for ticket in nodes:
                self._keep(ticket)
            self._set_cursor(cursor)

    async def _catch_up(self) -> bool:
        """Applies the missed changes. Returns False if the copy must be read anew."""
        body = {"query": MISSED, "variables": {"filter": MINE, "after": self._state("cursor")}}
        headers = {**self._headers(), "Accept": "text/event-stream"}
        async with self._client.stream("POST", f"{self._url}/graphql/stream", json=body, headers=headers) as response:
            if response.status_code != 200:
                await response.aread()
                _check(response)
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                answer = json.loads(line.removeprefix("data: "))
                if "errors" in answer:
                    raise NotNow(answer["errors"][0]["message"])
                message = answer["data"]["ticketChanged"]
                if message["__typename"] == "StreamReset":
                    return False
                with self._transaction():
                    if message["__typename"] == "TicketChange":
                        self._apply(message)
                    self._set_cursor(message["cursor"])
                if message["__typename"] == "StreamReady":
                    return True
        raise NotNow("the connection was lost")

    def _apply(self, message: dict[str, Any]) -> None:
        if message["change"] == "LEFT" or message["ticket"] is None:
            self._store.execute("DELETE FROM tickets WHERE id = ?", (message["ticketId"],))
        else:
            self._keep(message["ticket"])

    def _keep(self, ticket: dict[str, Any]) -> None:
        """Keeps a ticket, unless the copy has it in a newer version."""
        self._store.execute(
            "INSERT INTO tickets VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET version = excluded.version, "
            "document = excluded.document WHERE excluded.version >= version",
            (ticket["id"], ticket["version"], json.dumps(ticket)),
        )

    async def _ask(self, query: str, variables: dict[str, Any]) -> Any:
        body = {"query": query, "variables": variables}
        response = await self._client.post(f"{self._url}/graphql", json=body, headers=self._headers())
        return _check(response)["data"]

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token()}"}

    def _state(self, name: str) -> str | None:
        found = self._store.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def _set_cursor(self, cursor: str | None) -> None:
        self._store.execute("INSERT OR REPLACE INTO state VALUES ('cursor', ?)", (cursor,))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, so that the cursor is never ahead of the copy."""
        self._store.execute("BEGIN")
        try:
            yield self._store
        except BaseException:
            self._store.execute("ROLLBACK")
            raise
        self._store.execute("COMMIT")


def _offset(response: httpx.Response) -> int:
    """How many bytes have arrived, by the answer of an upload."""
    try:
        return int(response.headers["Upload-Offset"])
    except (KeyError, ValueError):
        raise NotNow("something else has answered, such as a proxy") from None


def _rejected(key: str, message: str) -> dict[str, Any]:
    """The result of a command that the server cannot read, or whose file it does not take."""
    errors = [{"message": message}]
    return {"key": key, "outcome": "REJECTED", "conflicts": [], "ticket": None, "userErrors": errors}


def _check(response: httpx.Response) -> Any:
    """The body of a successful answer. Raises `SignedOut`; `NotNow` for what passes; `Malformed`; `ValueError` for what
    else is wrong with the request itself, such as a document of an old version of the app."""
    if response.status_code == 401:
        raise SignedOut("the token is not valid")
    if response.status_code >= 500:
        raise NotNow(f"HTTP {response.status_code}")
    body = response.json()
    for error in body.get("errors", ()):
        code = error["extensions"]["code"]
        if code in ("RATE_LIMITED", "BUSY", "TIMEOUT", "UNAVAILABLE", "INTERNAL"):
            raise NotNow(error["message"])
        raise (Malformed if code in MALFORMED else ValueError)(error["message"])
    return body


def queue(device: Device, kind: str, *given: str) -> None:
    """Queues a command of the command line: its fields are `name=value`, and a file is its path."""
    fields = dict(each.split("=", 1) for each in given)
    if kind != "attachment":
        device.do(kind, **fields)
        return
    file = Path(fields.pop("file"))
    content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    device.attach(file.read_bytes(), **{"name": file.name, "contentType": content_type} | fields)


async def main(url: str, path: str, *command: str) -> None:
    """Queues the command, if there is one, and prints the copy and what waits once it is in step."""
    async with httpx.AsyncClient(timeout=30) as client:
        device = Device(path, url, lambda: os.environ["DEVICE_TOKEN"], client)
        if command:
            queue(device, *command)
        try:
            await device.sync()
        except NotNow as error:
            print(f"offline: {error}")
    for ticket in device.tickets():
        print(ticket["reference"], ticket["status"], ticket["subject"])
    for sent, result in device.unsettled():
        print(result["outcome"], json.dumps(sent), *result["conflicts"], *(e["message"] for e in result["userErrors"]))
    print(len(device.waiting()), "waiting")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
