"""What all feeds are made of: the keys by which equal ones are recognised, and how a message begins."""

from __future__ import annotations

from collections.abc import Hashable

from callout.execution.prepare import BoundStream
from db.compiler.selection import Selection
from db.enums import Role
from db.viewer import Viewer


def is_shared(bound: BoundStream, viewer: Viewer) -> bool:
    """Whether the feed is the same for all admins: they have the same rights, but the URLs of files and the keys of
    requests are for one."""
    return viewer.role is Role.ADMIN and not bound.compiled.is_personal


def family_of(bound: BoundStream, viewer: Viewer) -> Hashable:
    """Returns the key of the feeds that differ only in the values of the subscription's own arguments."""
    own = None if is_shared(bound, viewer) else viewer.id
    root, *others = bound.bounds
    return (bound.document, bound.operation, bound.flags, viewer.role, own, repr((root.shape, others)))


def key_of(bound: BoundStream, viewer: Viewer) -> Hashable:
    """Returns the key by which equal feeds are recognised."""
    return (family_of(bound, viewer), repr(bound.bounds[0].values))


def before(selection: Selection) -> bytes:
    return b'{"data":{"%b":' % selection.key.encode()
