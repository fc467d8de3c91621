"""What stands in the place of erased values. A customer's placeholders are always the same, and fit the constraints."""

from __future__ import annotations

import uuid
from typing import Final

NAME: Final = "Erased customer"
ADDRESS: Final = "Erased address"
TEXT: Final = "[erased]"
MEDIA_TYPE: Final = "application/octet-stream"
DOMAIN: Final = "erased.invalid"
"""The domain of the addresses. No mail can be sent to it (RFC 2606, section 2), and none is."""


def email(key: str) -> str:
    """The e-mail address of the erased customer with this key."""
    return f"{uuid.UUID(key).hex}@{DOMAIN}"


def is_email(address: str | None) -> bool:
    """Whether it is the address of an erased customer."""
    return address is not None and address.lower().endswith(f"@{DOMAIN}")


def account_number(key: str) -> str:
    """The account number of the erased customer or property with this key."""
    return f"ERASED-{uuid.UUID(key).hex}"
