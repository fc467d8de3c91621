"""Limits on stored values and requests. The database's constraints, the checks on input and the schema's descriptions
all use these. Lengths of text are in characters, those of lists in items."""

from __future__ import annotations

NAME_MAX = 200
EMAIL_MAX = 254  # RFC 5321, section 4.5.3.1.3: a path of 256 octets without its angle brackets
PHONE_MAX = 40
ACCOUNT_NUMBER_MAX = 40
ADDRESS_MAX = 500
ACCESS_NOTES_MAX = 4_000  # of a property
ACCESS_NOTE_MAX = 1_000  # one of them
SUBJECT_MAX = 200
DESCRIPTION_MAX = 20_000
RESOLUTION_MAX = 20_000
NOTE_MAX = 20_000
QUOTED_MAX = 50_000  # of a note, besides its text
PROBLEM_MAX = 500
SOLUTION_MAX = 20_000
SEARCH_MAX = 200
URL_MAX = 2_000
IDEMPOTENCY_KEY_MAX = 200
CONVERSATION_ID_MAX = 200
CHAT_MESSAGES_MAX = 500
CHAT_BODY_MAX = 10_000
RECIPIENTS_MAX = 20
DEVICE_ID_MAX = 100
PUSH_DEVICES_MAX = 10  # of one person, that are notified by Web Push
EVENT_DELIVERIES_MAX = RECIPIENTS_MAX + 5  # of one event that are shown: also the customer, technicians, a chat space
REOPEN_DAYS_MAX = 3_650
SAID_MAX = 1_000  # the result of an attempt to deliver, such as a mail server's answer
BULK_MAX = 100  # tickets that one mutation changes
COMMANDS_MAX = 100  # that a device sends at once
DEVICE_ID_MAX = 100
OCCURRED_DAYS_MAX = 30  # how long ago something may have been done on a device that was offline
OCCURRED_AHEAD_SECONDS = 60  # by which the clock of a device may be fast
DEVICES_MAX = 50  # of one caller
IDS_MAX = 100  # tickets that a filter names
MESSAGE_ID_MAX = 500
MAIL_BYTES_MAX = 25 * 1024 * 1024  # of an inbound message that is read
MAIL_RECIPIENTS_MAX = 50  # the addresses in To and Cc of an inbound message that are stored
MAIL_TEXT_MAX = 100_000  # the stored text of an inbound message that was ignored or kept aside
FILE_NAME_MAX = 255
CONTENT_TYPE_MAX = 127  # RFC 6838, section 4.2, allows 127 on either side of the slash
REASON_MAX = 500
OVERDUE_MINUTES_MAX = 525_600  # a year
ETA_DAYS_MAX = 30  # how far ahead a technician may announce their arrival
OBJECT_ID_MAX = 200
ISSUER_MAX = 200  # the `iss` of tokens
TOKEN_SUBJECT_MAX = 200  # their `sub`
AUDITED_CHANGES_MAX = 20  # fields in one entry of the audit trail
CLIENT_MAX = 45  # an IPv6 address as text; those that end in an IPv4 address are the longest
EXCERPT_WORDS = 30
LOOKED_UP_HOURS = 12  # how long a technician may create tickets for a customer whom they have looked up
WEBHOOK_DOCUMENT_MAX = 10_000
WEBHOOK_VARIABLES_MAX = 10_000  # as JSON
WEBHOOK_SECRET_BYTES = (24, 64)  # https://github.com/standard-webhooks/standard-webhooks, "Signature scheme"
WEBHOOKS_OF_AUTHOR_MAX = 100
WEBHOOKS_MAX = 1_000
PROGRESS_MAX = 50  # entries in the progress of a tracked ticket

# Rows of a page.
PAGE_DEFAULT = 20
REPRESENTATIONS_MAX = 500  # of entities that a gateway asks for at once
PAGE_MAX = 100

# A reference is `TKT-` followed by six characters of an alphabet without look-alikes (no I, L, O, 0, 1).
REFERENCE_PREFIX = "TKT-"
REFERENCE_ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
REFERENCE_LENGTH = 6
USER_AGENT_MAX = 300  # of a session or passkey
PASSKEYS_MAX = 10  # of one person
SESSIONS_MAX = 20  # of one person; a further one ends the one that was used longest ago
