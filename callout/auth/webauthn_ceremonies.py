"""Making a passkey and signing in with one, as WebAuthn has it (Level 3, sections 7.1 and 7.2), by the library
`webauthn`.

Loading it takes a third of a second, so a process does when the first person uses a passkey.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import webauthn
from webauthn.helpers import parse_authentication_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

_NAME: Final = "Callout"
# The library leaves some forms unchecked.
_INVALID: Final = (WebAuthnException, ValueError, TypeError, LookupError, AttributeError)


class InvalidPasskey(Exception):
    """What a browser has sent does not prove that it has the passkey. The text says why, for the log."""


@dataclass(frozen=True, slots=True)
class MadePasskey:
    credential_id: bytes
    public_key: bytes
    sign_count: int


def options_to_make(rp_id: str, user_id: bytes, user_name: str, challenge: bytes, known: Sequence[bytes]) -> str:
    """What the browser needs to make a passkey, as JSON. The device must know its owner, by a fingerprint or a PIN, and
    have none of the `known` ones."""
    options = webauthn.generate_registration_options(
        rp_id=rp_id,
        rp_name=_NAME,
        user_id=user_id,
        user_name=user_name,
        challenge=challenge,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=each) for each in known],
    )
    return webauthn.options_to_json(options)


def made(rp_id: str, origin: str, challenge: bytes, credential: dict[str, Any]) -> MadePasskey:
    """Raises `InvalidPasskey`."""
    try:
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=origin,
            require_user_verification=True,
        )
    except _INVALID as error:
        raise InvalidPasskey(str(error)) from None
    return MadePasskey(verified.credential_id, verified.credential_public_key, verified.sign_count)


def options_to_sign_in(rp_id: str, challenge: bytes) -> str:
    """What the browser needs to let a person choose one of their passkeys, as JSON."""
    options = webauthn.generate_authentication_options(
        rp_id=rp_id, challenge=challenge, user_verification=UserVerificationRequirement.REQUIRED
    )
    return webauthn.options_to_json(options)


def credential_id_of(credential: dict[str, Any]) -> bytes:
    """The id of the passkey that the browser says it has. Raises `InvalidPasskey`."""
    try:
        return parse_authentication_credential_json(credential).raw_id
    except _INVALID as error:
        raise InvalidPasskey(str(error)) from None


def sign_count_of(
    rp_id: str, origin: str, challenge: bytes, credential: dict[str, Any], public_key: bytes, sign_count: int
) -> int:
    """How often the passkey has been used now. Raises `InvalidPasskey` unless the browser has it, and its owner has
    agreed."""
    try:
        return webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=origin,
            credential_public_key=public_key,
            credential_current_sign_count=sign_count,
            require_user_verification=True,
        ).new_sign_count
    except _INVALID as error:
        raise InvalidPasskey(str(error)) from None
