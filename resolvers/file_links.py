"""The URLs of attached files: signed, short-lived and bound to a viewer.

A browser loads an image without a header, so its URL has to say who asks. It names the viewer and when it was issued,
and is signed (HMAC-SHA256, RFC 2104). Whoever is given one can use it until it expires, and only for as long as the
viewer may see the attachment: both are checked when it is used (`resolvers/upload.py: find_readable`).

The time of issue is rounded down, so that the URL of an image stays the same for a while and browsers keep the image. A
revocation of the viewer's tokens covers the URLs that were issued before it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from db.enums import Role
from db.viewer import Issued, Viewer

FILE, THUMBNAIL, UPLOAD = "file", "thumbnail", "upload"

STEP_SECONDS: Final = 300
DOWNLOAD_SECONDS: Final = 900
"""How long after its (rounded) time of issue a URL can be used to download."""

_AHEAD: Final = 5  # seconds by which the clocks of servers may differ
_PREFIXES: Final = {Role.TECHNICIAN: "tec_", Role.CUSTOMER: "cus_"}
_TIME: Final = re.compile(r"[1-9]\d{0,11}")


@dataclass(frozen=True, slots=True)
class Grant:
    """Whom a URL was issued to, and when (Unix time)."""

    role: Role
    viewer_id: str
    issued: int


def _none_are(issued: Issued) -> bool:
    return False


class FileLinks:
    """Makes the URLs and checks them. All servers of one database make the same."""

    def __init__(
        self,
        identity: str,
        base: str,
        upload_time: timedelta,
        is_revoked: Callable[[Issued], bool] = _none_are,
    ) -> None:
        """The key is derived from the `identity` of the event log, which no client learns. `base` is the URL of this
        API, without a slash at the end; it may be empty. `upload_time` is how long an upload may take. `is_revoked`
        says whether a token is revoked that was issued at a time."""
        self._key = hashlib.sha256(b"callout file link 1 " + identity.encode()).digest()
        self._base = base
        self._seconds = {FILE: DOWNLOAD_SECONDS, THUMBNAIL: DOWNLOAD_SECONDS, UPLOAD: upload_time.total_seconds()}
        self._is_revoked = is_revoked

    def url(self, kind: str, attachment_id: str, viewer: Viewer) -> str:
        """The URL by which the viewer may use the attachment from now on."""
        grant = Grant(viewer.role, viewer.id, self._time_of_issue(viewer))
        query = f"role={grant.role.lower()}&viewer={quote(grant.viewer_id, safe='')}&issued={grant.issued}"
        path = f"/uploads/{attachment_id}" if kind == UPLOAD else f"/files/{attachment_id}/{kind}"
        return f"{self._base}{path}?{query}&signature={self._signature(kind, attachment_id, grant)}"

    def signed(self, mark: bytes, document: bytes, viewer: Viewer) -> bytes:
        """The JSON with a URL for the viewer in the place of each mark, which is followed by `{attachment}/{kind}`."""

        def url(found: re.Match[bytes]) -> bytes:
            attachment_id, kind = found[0].removeprefix(mark).decode().split("/")
            return self.url(kind, attachment_id, viewer).encode()

        return re.sub(re.escape(mark) + rb"[0-9a-f-]{36}/[a-z]+", url, document)

    def grant(self, kind: str, attachment_id: str, query: Mapping[str, str]) -> Grant | None:
        """Whom this URL was issued to; None if it was altered, has expired, or if the tokens are revoked that its
        viewer had then."""
        role, issued = query.get("role", "").upper(), query.get("issued", "")
        if role not in Role.__members__ or not _TIME.fullmatch(issued):
            return None
        grant = Grant(Role(role), query.get("viewer", ""), int(issued))
        expected = self._signature(kind, attachment_id, grant)
        if not hmac.compare_digest(expected.encode(), query.get("signature", "").encode()):
            return None
        age = time.time() - grant.issued
        if not -_AHEAD <= age < self._seconds[kind] or self._is_revoked(
            _token(grant.role, grant.viewer_id, grant.issued)
        ):
            return None
        return grant

    def _time_of_issue(self, viewer: Viewer) -> int:
        """The time, rounded down; but exactly, if the viewer's tokens have been revoked since the rounded time."""
        now = int(time.time())
        rounded = now - now % STEP_SECONDS
        return now if self._is_revoked(_token(viewer.role, viewer.id, rounded)) else rounded

    def _signature(self, kind: str, attachment_id: str, grant: Grant) -> str:
        said = "\n".join((kind, attachment_id, grant.role, str(grant.issued), grant.viewer_id))
        return hmac.new(self._key, said.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _token(role: Role, viewer_id: str, issued: int) -> Issued:
    # After the name of the provider is what its tokens call the admin (`callout/auth/authenticator.py`).
    return Issued(_PREFIXES.get(role, "") + viewer_id, issued, (viewer_id.partition(":")[2],))
