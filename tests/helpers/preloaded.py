"""The modules of a Callout server, imported once by the process from which the servers are forked."""

from __future__ import annotations

import gc

import db.postgres.embedded
import db.postgres.migrate
import db.seed.demo  # noqa: F401

gc.freeze()  # otherwise each server's first collection goes through all modules again, and copies their memory
