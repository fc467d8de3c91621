"""The functions and triggers that begin assignments, as schema objects that the models cannot express (as in
`db/ddl.py`).

An assignment begins when an unresolved ticket is created with a technician, a ticket gets one, or one that has a
technician is reopened. The one before is then SUPERSEDED, as
it is when the ticket is unassigned, unless it was DECLINED. Servers of the previous release, which know nothing of
assignments, keep them right in this way, too.
"""

from __future__ import annotations

from typing import Final

FUNCTIONS: Final = (
    # The present assignment is in the ticket's row, and so in the images of the event that is written with it. A
    # technician's own ticket needs no answer. Invented data give the state themselves.
    """
CREATE OR REPLACE FUNCTION ticket_assigned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.technician_id IS NOT NULL THEN
        NEW.assignment_id := gen_random_uuid();
        IF TG_OP = 'UPDATE' AND NEW.assignment_state IS NOT DISTINCT FROM OLD.assignment_state THEN
            NEW.assignment_state := 'OFFERED';
        ELSIF NEW.assignment_state IS NULL THEN
            NEW.assignment_state := CASE
                WHEN NEW.creator_kind = 'TECHNICIAN' AND NEW.creator_id = NEW.technician_id::text THEN 'ACCEPTED'
                ELSE 'OFFERED'
            END::assignment_state;
        END IF;
    ELSE
        IF NEW.assignment_state <> 'DECLINED' THEN
            NEW.assignment_id := NULL;
            NEW.assignment_state := NULL;
        END IF;
    END IF;
    NEW.assigned_at := NEW.updated_at;
    NEW.assignment_eta := NULL;
    NEW.assignment_overdue := false;
    RETURN NEW;
END
$$""",
    """
CREATE OR REPLACE FUNCTION assignment_begun() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        UPDATE assignments SET state = 'SUPERSEDED' WHERE id = OLD.assignment_id AND state <> 'DECLINED';
    END IF;
    IF NEW.assignment_id IS NOT NULL THEN
        INSERT INTO assignments (id, ticket_id, technician_id, state, offered_at, accepted_at)
        VALUES (NEW.assignment_id, NEW.id, NEW.technician_id, NEW.assignment_state, NEW.assigned_at,
            CASE WHEN NEW.assignment_state <> 'OFFERED' THEN NEW.assigned_at END);
    END IF;
    RETURN NULL;
END
$$""",
)

TRIGGERS: Final = (
    """
CREATE OR REPLACE TRIGGER tickets_assigned_new BEFORE INSERT ON tickets FOR EACH ROW
WHEN (NEW.technician_id IS NOT NULL AND NEW.status IN ('OPEN', 'IN_PROGRESS')) EXECUTE FUNCTION ticket_assigned()""",
    """
CREATE OR REPLACE TRIGGER tickets_assigned BEFORE UPDATE OF technician_id, status ON tickets FOR EACH ROW
WHEN (OLD.technician_id IS DISTINCT FROM NEW.technician_id
    OR NEW.technician_id IS NOT NULL AND OLD.status IN ('RESOLVED', 'CLOSED') AND NEW.status IN ('OPEN', 'IN_PROGRESS'))
EXECUTE FUNCTION ticket_assigned()""",
    """
CREATE OR REPLACE TRIGGER tickets_assignment_begun_new AFTER INSERT ON tickets FOR EACH ROW
WHEN (NEW.assignment_id IS NOT NULL) EXECUTE FUNCTION assignment_begun()""",
    """
CREATE OR REPLACE TRIGGER tickets_assignment_begun AFTER UPDATE OF technician_id, status ON tickets FOR EACH ROW
WHEN (OLD.assignment_id IS DISTINCT FROM NEW.assignment_id) EXECUTE FUNCTION assignment_begun()""",
)

DROP: Final = (
    "DROP TRIGGER tickets_assignment_begun ON tickets",
    "DROP TRIGGER tickets_assignment_begun_new ON tickets",
    "DROP TRIGGER tickets_assigned ON tickets",
    "DROP TRIGGER tickets_assigned_new ON tickets",
    "DROP FUNCTION assignment_begun(), ticket_assigned()",
)
