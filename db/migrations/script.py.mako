"""${message}.

Revision ID: ${up_revision}
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
% if imports:
${imports}
% endif

revision = "${up_revision}"
down_revision = "${down_revision}"
branch_labels = None
depends_on = None

oldest_code = ...  # the oldest revision whose code works with the database after this step
oldest_database = ...  # the oldest database that the code of this revision works with


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
