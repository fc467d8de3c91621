"""The file worker: it takes each file that has arrived, finds out what it is, has it scanned, processes it if it is a
photo, and makes it READY or REJECTED.

Every server runs one, for one file at a time. A claim is a lease, as for deliveries (`notifiers/queue.py`): it commits
before the work starts, is extended while the work goes on, and ends by itself if the worker is killed; another worker
then takes the file. A file whose claims end in that way again and again is REJECTED, and so is one whose object alone
is missing or cannot be read, after growing pauses, in which it may come back: after a restore, the files may follow the
database. While the scanner, the store or the database is unavailable, files stay SCANNING, and are tried again; that
counts against none of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from callout.background import background
from callout.files import photos
from callout.files.content_type import HEAD_BYTES, PHOTOS, content_type
from callout.files.photos import UnfitPhoto
from callout.files.scanner import Scanner, ScannerUnavailable, Unscannable
from db.enums import AttachmentState
from db.object_store import Missing, ObjectStore, StoreError, StoreFull
from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE, Database
from resolvers.attachment import hold_object, settle
from resolvers.attachment_rules import with_extension

logger = logging.getLogger(__name__)

LOOKING_SECONDS: Final = 1.0
CALM_SECONDS: Final = (
    0.25  # between a ring and a look: most are not about files, and the server that has one looks first
)
ANSWER_SECONDS: Final = 15.0  # after which a database that does not respond counts as unreachable
ATTEMPTS_MAX: Final = 5
GROWTH: Final = 8.0
"""By which the pause grows with each attempt to read an object that the store cannot read: the last is after hours."""
ELSEWHERE_SECONDS: Final = 3_600.0
"""A file of this age may still be found by another server, whose folder this one does not share."""
PHOTO_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of a photo as it was uploaded. It is read into memory, as other files are not."""

UNPROCESSED: Final = "The file could not be checked."
PHOTO_TOO_LARGE: Final = f"An image can have at most {PHOTO_BYTES_MAX >> 20} MiB."
UNSCANNABLE: Final = "The file is larger than the malware scanner accepts."

_CLAIM: Final = """
UPDATE attachments SET due_at = now() + $1 * interval '1 second', attempts = attempts + 1
WHERE id = (
    SELECT id FROM attachments WHERE state = 'SCANNING' AND (due_at IS NULL OR due_at <= now())
    ORDER BY created_at, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING id, attempts, name, content_type, size, sha256, extract(epoch FROM now() - created_at)::float8 AS age"""

_EXTEND: Final = """
UPDATE attachments SET due_at = now() + $3 * interval '1 second'
WHERE id = $1 AND attempts = $2 AND state = 'SCANNING'"""

# An attempt that failed for a reason outside the file does not count.
_POSTPONE: Final = """
UPDATE attachments SET due_at = now() + $3 * interval '1 second', attempts = attempts - $4
WHERE id = $1 AND attempts = $2 AND state = 'SCANNING'"""


@dataclass(frozen=True, slots=True)
class FilePace:
    """The worker's times, in seconds."""

    lease: float = 30.0
    retry: float = 3.0


@dataclass(frozen=True, slots=True)
class FileClaim:
    """A file that this worker holds until its lease ends. `attempts` includes this one; `row` has the attachment's
    `name`, `content_type`, `size` and `sha256` as they were announced, and its `age` in seconds."""

    id: str
    attempts: int
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a file: READY, with the columns that change; or REJECTED, for a reason."""

    reason: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> AttachmentState:
        return AttachmentState.READY if self.reason is None else AttachmentState.REJECTED

    @property
    def objects(self) -> list[bytes]:
        """The digests that the columns name."""
        return [self.columns[name] for name in ("sha256", "thumbnail") if name in self.columns]


class FileWorker:
    """Checks files that have arrived; one for each process. `run()` it for the whole life of the process."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        scanner: Scanner | None,
        *,
        heard: Callable[[float], Awaitable[object]],
        written: Callable[[], None],
        pace: FilePace | None = None,
    ) -> None:
        """`heard` waits for the bell, at most the given seconds. `written` is called when an event was written."""
        self._database = database
        self._store = store
        self._scanner = scanner
        self._heard = heard
        self._written = written
        self._pace = pace or FilePace()
        self._cut_off = False
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look at once: a file has arrived in this process."""
        self._woken.set()

    async def run(self) -> None:
        """Run until cancelled. The file that is being checked is then due again at once."""
        async with background(self._listen):
            await self._work()

    async def _listen(self) -> None:
        while True:
            await self._heard(LOOKING_SECONDS)
            await asyncio.sleep(CALM_SECONDS)
            self.wake()

    async def _work(self) -> None:
        while True:
            self._woken.clear()
            try:
                claim = await self._claim()
                if claim is not None:
                    await self._check(claim)
            except OUTAGE as error:
                self._failed(error)
                claim = None
            if claim is None:
                await self._woken.wait()

    async def _claim(self) -> FileClaim | None:
        async with asyncio.timeout(ANSWER_SECONDS):
            row = await self._database.fetchrow(_CLAIM, self._pace.lease)
        return None if row is None else FileClaim(str(row["id"]), row["attempts"], dict(row))

    async def _check(self, claim: FileClaim) -> None:
        try:
            async with self._held(claim):
                verdict = await self._verdict(claim)
                done = await self._settle(claim, verdict)
        except (StoreError, ScannerUnavailable, *OUTAGE) as error:
            if isinstance(error, StoreError) and await self._is_about_one_object(error):
                await self._postpone_unreadable(claim, error)
                return
            self._failed(error)
            await self._postpone(claim, uncounted=1)
            await asyncio.sleep(LOOKING_SECONDS)
        except asyncio.CancelledError:
            with suppress(*OUTAGE):
                await self._postpone(claim, uncounted=1, pause=0)
            raise
        except Exception:
            logger.exception("checking a file failed", extra={"fields": {"attachment": claim.id}})
            await self._postpone(claim, uncounted=0)
        else:
            self._cut_off = False
            self._written()
            if done and verdict.reason is not None:
                fields = {"attachment": claim.id, "reason": verdict.reason}
                logger.warning("a file was rejected", extra={"fields": fields})

    async def _postpone_unreadable(self, claim: FileClaim, error: StoreError) -> None:
        fields = {"attachment": claim.id, "attempt": claim.attempts}
        logger.warning("a stored file cannot be read: %s", error or "it is missing", extra={"fields": fields})
        age = claim.row["age"]
        if isinstance(error, Missing) and age < ELSEWHERE_SECONDS:
            await self._postpone(claim, uncounted=1, pause=max(self._pace.retry, age / 2))
        else:
            await self._postpone(claim, uncounted=0, pause=self._pace.retry * GROWTH ** (claim.attempts - 1))

    async def _is_about_one_object(self, error: StoreError) -> bool:
        """Whether the store works otherwise. A disk that is full may still take a few bytes."""
        try:
            await self._store.check()
        except StoreError:
            return False
        return not isinstance(error, StoreFull)

    async def _verdict(self, claim: FileClaim) -> Verdict:
        if claim.attempts > ATTEMPTS_MAX:
            return Verdict(UNPROCESSED)
        digest = claim.row["sha256"]
        try:
            if self._scanner is not None:
                infection = await self._scanner.infection(self._store.read(digest))
                if infection is not None:
                    return Verdict(f"The malware scanner has found {infection}.")
            end = min(HEAD_BYTES, claim.row["size"])  # of an empty file, stores refuse to read a range
            head = b"".join([piece async for piece in self._store.read(digest, 0, end)])
            type_ = content_type(head, claim.row["content_type"])
            return Verdict(columns={"content_type": type_} if type_ not in PHOTOS else await self._photo(claim, type_))
        except Unscannable:
            return Verdict(UNSCANNABLE)
        except UnfitPhoto as error:
            return Verdict(str(error))

    async def _photo(self, claim: FileClaim, type_: str) -> dict[str, Any]:
        """The columns of a photo, once it is processed and stored. The file that was uploaded is not named by the row
        any more, and so is deleted."""
        if claim.row["size"] > PHOTO_BYTES_MAX:
            raise UnfitPhoto(PHOTO_TOO_LARGE)
        made = await photos.processed(await self._store.get(claim.row["sha256"]), type_)
        stored, thumbnail = await self._store.put(made.data), await self._store.put(made.thumbnail)
        name = claim.row["name"]
        return {
            "content_type": made.content_type,
            "name": name if made.content_type == type_ else with_extension(name, ".jpg"),
            "size": stored.size,
            "sha256": stored.digest,
            "uploaded_sha256": claim.row["sha256"],
            "width": made.width,
            "height": made.height,
            "thumbnail": thumbnail.digest,
        }

    async def _settle(self, claim: FileClaim, verdict: Verdict) -> bool:
        async with asyncio.timeout(ANSWER_SECONDS), self._database.transaction() as transaction:
            for digest in verdict.objects:
                await hold_object(transaction, self._store, digest)
            return await settle(transaction, claim.id, verdict.state, reason=verdict.reason, **verdict.columns)

    @asynccontextmanager
    async def _held(self, claim: FileClaim) -> AsyncIterator[None]:
        """Extends the lease during the block."""
        extending = asyncio.create_task(self._extend(claim))
        try:
            yield
        finally:
            extending.cancel()
            await asyncio.wait({extending})

    async def _extend(self, claim: FileClaim) -> None:
        while True:
            await asyncio.sleep(self._pace.lease / 3)
            with suppress(*OUTAGE):  # then the lease may end; who settles the file first, does
                await self._database.execute(_EXTEND, claim.id, claim.attempts, self._pace.lease)

    async def _postpone(self, claim: FileClaim, *, uncounted: int, pause: float | None = None) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            after = self._pace.retry if pause is None else pause
            await self._database.execute(_POSTPONE, claim.id, claim.attempts, after, uncounted)

    def _failed(self, error: Exception) -> None:
        if not self._cut_off and not is_logged(error):
            self._cut_off = True
            logger.warning("files cannot be checked: %s", error or type(error).__name__)
