"""The viewer: the person or program that a request comes from, and the token that it shows."""

from __future__ import annotations

from dataclasses import dataclass, field

from db.enums import Role, ServiceScope


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The session of a browser in which a person is signed in: its key, and when it began, in whole seconds of Unix
    time."""

    session_id: str
    at: int


@dataclass(frozen=True, slots=True)
class Viewer:
    """An authenticated person or program. `id` is the UUID of the technician, customer or API key, or for an admin the
    token's subject. `name` appears on their notes and events. `scope` limits what a service may use; without one it may
    use all that services may. `email` is the address that the token names, if it names one: nobody is mailed there
    about what they have done themselves. `time_zone` is the name of the zone that they read times in. `aliases` are the
    subject of their token and the id of their identity, by which a revocation of tokens may name them. `signed_in` is
    their session; None if they have shown a token."""

    role: Role
    id: str
    name: str
    scope: ServiceScope | None = None
    email: str | None = field(default=None, compare=False)
    time_zone: str = field(default="UTC", compare=False)
    aliases: tuple[str, ...] = field(default=(), compare=False)
    signed_in: SignedIn | None = field(default=None, compare=False)

    @property
    def role_and_id(self) -> str:
        """The viewer as the database distinguishes them: two roles may have the same id."""
        return f"{self.role}:{self.id}"


@dataclass(frozen=True, slots=True)
class Issued:
    """To whom a token was issued, its `sub`, and when, its `iat` in whole seconds of Unix time. `also` has what else a
    revocation may name: the id by which Callout knows the bearer, and that of their identity."""

    subject: str
    at: int
    also: tuple[str, ...] = ()
