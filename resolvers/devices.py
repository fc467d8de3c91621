"""Devices: who sends commands from which. A device gives itself an id, which is no credential, and belongs to the first
who uses it: what one person has done offline must not be sent in the name of whoever signs in there next.

Only a digest of the id is stored.
"""

from __future__ import annotations

import hashlib
from typing import Final

from db import limits
from resolvers.checks import Checks
from resolvers.mutation import Call, UserErrorCode

# The caller whose device it is; that it has been used is written down once a day.
_USE: Final = """
WITH present AS (SELECT caller, used_at FROM devices WHERE digest = $1),
used AS (
    UPDATE devices SET used_at = now() WHERE digest = $1 AND caller = $2 AND used_at < now() - interval '1 day'
)
SELECT caller FROM present"""

_BIND: Final = "INSERT INTO devices (digest, caller) VALUES ($1, $2) ON CONFLICT DO NOTHING"

# Those that the caller has not used for the longest time, beyond the most that are kept.
_FORGET: Final = f"""
DELETE FROM devices WHERE digest IN (
    SELECT digest FROM devices WHERE caller = $1 ORDER BY used_at DESC, digest OFFSET {limits.DEVICES_MAX})"""


async def of_caller(call: Call, device_id: str) -> bytes:
    """The digest of the caller's device with this id, which becomes theirs if it is nobody's yet. Raises `Refused` if
    it is somebody else's."""
    checks = Checks()
    device_id = checks.line(device_id, limits.DEVICE_ID_MAX, "deviceId")
    checks.finish()
    digest, caller = hashlib.sha256(device_id.encode()).digest(), call.viewer.role_and_id
    owner = await call.database.fetchval(_USE, digest, caller)
    if owner is None:
        await call.database.execute(_BIND, digest, caller)
        await call.database.execute(_FORGET, caller)
        owner = await call.database.fetchval(_USE, digest, caller)
    if owner != caller:
        message = (
            "This device has sent commands of somebody else: whoever signs in there needs a device id of their own."
        )
        checks.object_to(UserErrorCode.NOT_ALLOWED, message, "deviceId")
        checks.finish()
    return digest
