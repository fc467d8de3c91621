"""Fills a database with 50,000 tickets and what they refer to, in about three seconds of one processor.

The rows are always the same. They are as uneven as a company's: nearly all tickets are closed, a third of them belong
to one of the 50 technicians, and the chatbot has created more than half. Each row's id is its number.
"""

from __future__ import annotations

from db.seed.bulk import PLAIN_INDEXES, TABLES
from tests.helpers.database_checks import Database

TICKETS, CUSTOMERS, PROPERTIES, TECHNICIANS, ARTICLES = 50_000, 5_000, 7_500, 50, 4_000

BUSIEST_TECHNICIAN = "00000000-0000-0000-0000-000000000000"  # has 18,000 tickets
IDLEST_TECHNICIAN = "00000000-0000-0000-0000-000000000049"  # has 250 tickets
BUSIEST_CUSTOMER = "00000000-0000-0000-0000-000000000000"  # has 171 tickets

_TECHNICIANS = f"""
INSERT INTO technicians (id, name, email)
SELECT lpad(n::text, 32, '0')::uuid, 'Technician ' || n, n || '@technicians.example'
FROM generate_series(0, {TECHNICIANS} - 1) AS n"""

_CUSTOMERS = f"""
INSERT INTO customers (id, account_number, name, email)
SELECT lpad(n::text, 32, '0')::uuid, 'AC' || n, md5(n::text) || ' Ltd', n || '@customers.example'
FROM generate_series(0, {CUSTOMERS} - 1) AS n"""

_PROPERTIES = f"""
INSERT INTO properties (id, customer_id, address, account_number)
SELECT lpad(n::text, 32, '0')::uuid, lpad((n % {CUSTOMERS})::text, 32, '0')::uuid, n || ' Elm Street', 'PR' || n
FROM generate_series(0, {PROPERTIES} - 1) AS n"""

# A ticket is created every ten minutes, and last updated at any time since. Each random number, from 0 to 1, decides
# one property of it.
_TICKETS = f"""
INSERT INTO tickets (
    id, reference, subject, description, status, priority, category, source, creator_kind, creator_id, contact_name,
    contact_email, customer_id, property_id, technician_id, resolution, created_at, updated_at, public_updated_at,
    resolved_at, closed_at, searchable
)
SELECT
    lpad(n::text, 32, '0')::uuid, reference, subject, 'It is broken.', status, priority, category, source,
    CASE source WHEN 'ADMIN' THEN 'ADMIN' WHEN 'TECHNICIAN' THEN 'TECHNICIAN' ELSE 'SERVICE' END::actor_kind,
    CASE source WHEN 'TECHNICIAN' THEN technician::text ELSE lower(source::text) END,
    'Ann', 'ann@example.com', customer, customer, CASE WHEN unassigned > 0.03 THEN technician END,
    CASE status WHEN 'RESOLVED' THEN 'Repaired.' END, created_at, updated_at, updated_at,
    CASE status WHEN 'RESOLVED' THEN updated_at END, CASE status WHEN 'CLOSED' THEN updated_at END,
    ' ' || lower(reference || ' ' || subject || ' Ann') || E'\\f '
FROM (
    SELECT n, random() AS progress, random() AS urgency, random() AS system, random() AS origin, random() AS owner,
        random() AS skill, random() AS unassigned, random() AS change
    FROM generate_series(0, {TICKETS} - 1) AS n
) AS drawn, LATERAL (
    SELECT
        'TKT-' || translate(lpad(n::text, 6, '0'), '01', 'AB') AS reference,
        'Camera ' || n || CASE WHEN n % 20 = 0 THEN ' in the lobby' ELSE '' END AS subject,
        (CASE WHEN n < 0.95 * {TICKETS} AND progress > 0.02 THEN 'CLOSED' WHEN progress < 0.01 THEN 'IN_PROGRESS'
            WHEN progress < 0.5 THEN 'OPEN' WHEN progress < 0.8 THEN 'RESOLVED' ELSE 'CLOSED' END)::ticket_status
            AS status,
        (CASE WHEN urgency < 0.2 THEN 'LOW' WHEN urgency < 0.75 THEN 'MEDIUM' WHEN urgency < 0.96 THEN 'HIGH'
            ELSE 'URGENT' END)::ticket_priority AS priority,
        (CASE WHEN system < 0.4 THEN 'ALARM' WHEN system < 0.6 THEN 'CCTV' ELSE 'GENERAL' END)::ticket_category
            AS category,
        (CASE WHEN origin < 0.6 THEN 'CHATBOT' WHEN origin < 0.603 THEN 'EMAIL' WHEN origin < 0.8 THEN 'TECHNICIAN'
            ELSE 'ADMIN' END)::ticket_source AS source,
        lpad(floor({CUSTOMERS} * owner ^ 1.5)::text, 32, '0')::uuid AS customer,
        lpad(floor({TECHNICIANS} * skill ^ 4)::text, 32, '0')::uuid AS technician,
        '2026-01-01Z'::timestamptz + n * interval '10 minutes' AS created_at,
        '2026-01-01Z'::timestamptz + (n + ({TICKETS} - n) * change) * interval '10 minutes' AS updated_at
) AS given"""

_ARTICLES = f"""
INSERT INTO articles (id, problem, solution, published, created_at)
SELECT lpad(n::text, 32, '0')::uuid, 'Camera ' || n || ' is dark', 'Restart it.', n % 3 > 0,
    '2026-01-01Z'::timestamptz + n * interval '1 day'
FROM generate_series(0, {ARTICLES} - 1) AS n"""


async def add_many_tickets(database: Database) -> None:
    """Fills a database that is empty. It gets no events, counts or words of articles, and loses the indexes of pairs of
    characters: they take as long to build as everything else, and serve only searches for one or two characters."""
    # Without triggers, which would take most of the time. The statement writes the tickets' `searchable` itself.
    await database.execute("SET session_replication_role = replica")
    await database.execute("SELECT setseed(0.5)")
    indexes = await database.fetch(PLAIN_INDEXES, list(TABLES))
    for index in indexes:
        await database.execute(index["drop"])
    for statement in (_TECHNICIANS, _CUSTOMERS, _PROPERTIES, _TICKETS, _ARTICLES):
        await database.execute(statement)
    for index in indexes:
        if "search_pairs" not in index["make"]:
            await database.execute(index["make"])
    await database.execute("VACUUM ANALYZE")
