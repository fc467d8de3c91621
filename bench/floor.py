"""The floor: what a request costs without any GraphQL.

Each Starlette route returns the JSON of one hand-written statement for exactly this answer: no authentication, no
validation, no choice of fields. asyncpg does as little as possible: statements are prepared, connections are not reset
when they are released, and JSON is passed on as bytes.

The statements are good ones. Slow SQL here would flatter Callout: a process that waits long for its database uses more
CPU for the same work, because its caches go cold. The list's total comes from the stored counts, like Callout's.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from resolvers.ticket import draw_reference

LIST = """
SELECT json_build_object('data', json_build_object('tickets', json_build_object(
    'totalCount', (
        (SELECT coalesce(sum(n), 0) FROM ticket_counts WHERE status = 'OPEN' AND priority = 'HIGH')
        + (
            SELECT count(*) FILTER (WHERE after ->> 'status' = 'OPEN' AND after ->> 'priority' = 'HIGH')
                - count(*) FILTER (WHERE before ->> 'status' = 'OPEN' AND before ->> 'priority' = 'HIGH')
            FROM event_log, ticket_events
            WHERE xid >= pg_snapshot_xmin(counted) AND NOT pg_visible_in_snapshot(xid, counted)
        )
    ),
    'nodes', (
        SELECT coalesce(json_agg(json_build_object(
            'id', 'tkt_' || t.id, 'reference', t.reference, 'subject', t.subject, 'status', t.status,
            'priority', t.priority, 'category', t.category, 'createdAt', t.created_at,
            'contact', json_build_object('name', t.contact_name, 'email', t.contact_email),
            'customer', CASE WHEN c.id IS NOT NULL THEN json_build_object('id', 'cus_' || c.id, 'name', c.name) END,
            'property', CASE WHEN p.id IS NOT NULL THEN
                json_build_object('id', 'prp_' || p.id, 'address', p.address) END,
            'technician', CASE WHEN e.id IS NOT NULL THEN json_build_object('id', 'tec_' || e.id, 'name', e.name) END
        ) ORDER BY t.created_at DESC, t.id DESC), '[]')
        FROM (
            SELECT * FROM tickets WHERE status = 'OPEN' AND priority = 'HIGH'
            ORDER BY created_at DESC, id DESC LIMIT 50
        ) t
        LEFT JOIN customers c ON c.id = t.customer_id
        LEFT JOIN properties p ON p.id = t.property_id
        LEFT JOIN technicians e ON e.id = t.technician_id
    )
)))"""

DETAIL = """
SELECT json_build_object('data', json_build_object('ticket', json_build_object(
    'id', 'tkt_' || t.id, 'reference', t.reference, 'version', t.version, 'subject', t.subject,
    'description', t.description, 'status', t.status, 'priority', t.priority, 'category', t.category,
    'source', t.source, 'resolution', t.resolution,
    'createdAt', t.created_at, 'updatedAt', t.updated_at, 'resolvedAt', t.resolved_at, 'closedAt', t.closed_at,
    'contact', json_build_object('name', t.contact_name, 'email', t.contact_email, 'phone', t.contact_phone),
    'customer', CASE WHEN c.id IS NOT NULL THEN json_build_object(
        'id', 'cus_' || c.id, 'accountNumber', c.account_number, 'name', c.name,
        'email', c.email, 'phone', c.phone) END,
    'property', CASE WHEN p.id IS NOT NULL THEN json_build_object(
        'id', 'prp_' || p.id, 'address', p.address, 'accountNumber', p.account_number) END,
    'technician', CASE WHEN e.id IS NOT NULL THEN json_build_object(
        'id', 'tec_' || e.id, 'name', e.name, 'email', e.email, 'phone', e.phone, 'active', e.active) END,
    'chat', h.messages,
    'article', CASE WHEN a.id IS NOT NULL THEN json_build_object(
        'id', 'art_' || a.id, 'problem', a.problem, 'solution', a.solution, 'published', a.published) END,
    'allowedStatuses', CASE t.status
        WHEN 'OPEN' THEN '["IN_PROGRESS", "RESOLVED", "CLOSED"]'
        WHEN 'IN_PROGRESS' THEN '["OPEN", "RESOLVED", "CLOSED"]'
        WHEN 'RESOLVED' THEN '["OPEN", "IN_PROGRESS", "CLOSED"]'
        ELSE '["OPEN", "IN_PROGRESS"]'
    END::json,
    'notes', (
        SELECT json_build_object('totalCount', count(*), 'nodes', coalesce(json_agg(json_build_object(
            'id', 'not_' || n.id, 'body', n.body, 'internalOnly', n.internal_only,
            'author', json_build_object('kind', n.author_kind, 'name', n.author_name), 'createdAt', n.created_at
        ) ORDER BY n.created_at, n.id), '[]'))
        FROM notes n WHERE n.ticket_id = t.id
    )
)))
FROM tickets t
LEFT JOIN customers c ON c.id = t.customer_id
LEFT JOIN properties p ON p.id = t.property_id
LEFT JOIN technicians e ON e.id = t.technician_id
LEFT JOIN ticket_chats h ON h.ticket_id = t.id
LEFT JOIN articles a ON a.source_ticket_id = t.id
WHERE t.id = $1"""

BOARD = """
SELECT json_build_object('data', json_build_object('technicians', json_build_object('nodes', (
    SELECT coalesce(json_agg(json_build_object(
        'id', 'tec_' || e.id, 'name', e.name, 'tickets', json_build_object('nodes', (
            SELECT coalesce(json_agg(json_build_object(
                'id', 'tkt_' || t.id, 'reference', t.reference, 'subject', t.subject, 'status', t.status,
                'priority', t.priority, 'createdAt', t.created_at,
                'customer', CASE WHEN c.id IS NOT NULL THEN json_build_object('name', c.name) END,
                'notes', json_build_object('totalCount', (SELECT count(*) FROM notes n WHERE n.ticket_id = t.id))
            ) ORDER BY t.created_at DESC, t.id DESC), '[]')
            FROM (
                SELECT * FROM tickets WHERE technician_id = e.id ORDER BY created_at DESC, id DESC LIMIT 10
            ) t
            LEFT JOIN customers c ON c.id = t.customer_id
        ))
    ) ORDER BY e.name, e.id), '[]')
    FROM (SELECT * FROM technicians ORDER BY name, id LIMIT 50) e
))))"""

_PAGE = """
SELECT json_build_object('data', json_build_object('tickets', json_build_object(
    'pageInfo', json_build_object('hasNextPage', count(*) > {first}),
    'nodes', coalesce(json_agg(json_build_object(
        'id', 'tkt_' || t.id, 'reference', t.reference, 'subject', t.subject, 'status', t.status,
        'priority', t.priority, 'category', t.category, 'createdAt', t.created_at,
        'contact', json_build_object('name', t.contact_name, 'email', t.contact_email),
        'customer', CASE WHEN c.id IS NOT NULL THEN json_build_object('id', 'cus_' || c.id, 'name', c.name) END,
        'property', CASE WHEN p.id IS NOT NULL THEN json_build_object('id', 'prp_' || p.id, 'address', p.address) END,
        'technician', CASE WHEN e.id IS NOT NULL THEN json_build_object('id', 'tec_' || e.id, 'name', e.name) END
    ) ORDER BY t.rn) FILTER (WHERE t.rn <= {first}), '[]')
)))
FROM (
    SELECT *, row_number() OVER () AS rn FROM (
        SELECT * FROM tickets WHERE {condition} ORDER BY created_at DESC, id DESC LIMIT {first} + 1
    ) page
) t
LEFT JOIN customers c ON c.id = t.customer_id
LEFT JOIN properties p ON p.id = t.property_id
LEFT JOIN technicians e ON e.id = t.technician_id"""

FILTERED = _PAGE.format(first="$1::int", condition="status = ANY ($2) AND priority = ANY ($3)")
FILTERED_OF_TECHNICIAN = _PAGE.format(
    first="$1::int", condition="status = ANY ($2) AND priority = ANY ($3) AND technician_id = $4"
)
OPEN_WORK = _PAGE.format(first=20, condition="technician_id = $1 AND status IN ('OPEN', 'IN_PROGRESS')")
OWN_OPEN_WORK = _PAGE.format(
    first=20,
    condition="(technician_id = $1 OR creator_id = $1::uuid::text AND creator_kind = 'TECHNICIAN')"
    " AND status IN ('OPEN', 'IN_PROGRESS')",
)
OF_CUSTOMER = _PAGE.format(first=20, condition="customer_id = $1")

SET_STATUS = """
WITH before AS (
    SELECT id, to_jsonb(tickets) AS image FROM tickets WHERE id = $1 FOR UPDATE
), changed AS (
    UPDATE tickets SET status = $2, version = version + 1, updated_at = clock_timestamp(),
        public_updated_at = clock_timestamp()
    FROM before WHERE tickets.id = before.id
    RETURNING tickets.*
), event AS (
    INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, at, before, after)
    SELECT changed.id, 'STATUS_CHANGED', 'ADMIN', 'bench', 'Bench', changed.updated_at, before.image, to_jsonb(changed)
    FROM changed, before
)
SELECT json_build_object('data', json_build_object('ticketSetStatus', json_build_object(
    'ticket', json_build_object(
        'id', 'tkt_' || t.id, 'reference', t.reference, 'version', t.version, 'subject', t.subject,
        'status', t.status, 'priority', t.priority, 'category', t.category,
        'createdAt', t.created_at, 'updatedAt', t.updated_at,
        'contact', json_build_object('name', t.contact_name, 'email', t.contact_email),
        'customer', CASE WHEN c.id IS NOT NULL THEN json_build_object('id', 'cus_' || c.id, 'name', c.name) END,
        'property', CASE WHEN p.id IS NOT NULL THEN json_build_object('id', 'prp_' || p.id, 'address', p.address) END,
        'technician', CASE WHEN e.id IS NOT NULL THEN json_build_object('id', 'tec_' || e.id, 'name', e.name) END
    ),
    'userErrors', json_build_array()
)))
FROM changed t
LEFT JOIN customers c ON c.id = t.customer_id
LEFT JOIN properties p ON p.id = t.property_id
LEFT JOIN technicians e ON e.id = t.technician_id"""


CREATE = """
WITH customer AS (
    SELECT * FROM customers WHERE id = $2
), created AS (
    INSERT INTO tickets (id, reference, subject, description, status, priority, category, source, creator_kind,
        creator_id, contact_name, contact_email, contact_phone, customer_id, created_at, updated_at, public_updated_at)
    SELECT uuidv7(), $1, $3, $4, 'OPEN', $5, 'GENERAL', 'ADMIN', 'ADMIN', 'bench', name, email, phone, id,
        now(), now(), now()
    FROM customer
    RETURNING *
), event AS (
    INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, at, after)
    SELECT id, 'CREATED', 'ADMIN', 'bench', 'Bench', updated_at, to_jsonb(created) FROM created
    RETURNING *
), delivery AS (
    INSERT INTO deliveries
        (event_id, ticket_id, kind, channel, audience, recipient, recipient_name, actor_name, created_at)
    SELECT event.id, created.id, 'CREATED', place.channel, place.audience, place.recipient, place.name, 'Bench',
        event.at
    FROM event, created, support_settings, LATERAL (
        SELECT 'EMAIL'::delivery_channel, 'CUSTOMER'::delivery_audience, created.contact_email, created.contact_name
        UNION ALL
        SELECT 'EMAIL', 'ADMIN', address, '' FROM unnest(admin_recipients) AS address
        UNION ALL
        SELECT 'GOOGLE_CHAT', 'SPACE', '', '' WHERE google_chat_enabled
    ) AS place (channel, audience, recipient, name)
    WHERE 'CREATED' = ANY (CASE place.channel WHEN 'EMAIL' THEN email_kinds ELSE google_chat_kinds END)
)
SELECT json_build_object('data', json_build_object('ticketCreate', json_build_object(
    'ticket', json_build_object(
        'version', t.version, 'subject', t.subject, 'status', t.status, 'priority', t.priority, 'category', t.category,
        'contact', json_build_object('name', t.contact_name, 'email', t.contact_email),
        'customer', json_build_object('id', 'cus_' || c.id, 'name', c.name)
    ),
    'userErrors', json_build_array()
)))
FROM created t
JOIN customer c ON c.id = t.customer_id"""


async def keep(connection: Any) -> None:
    """Replaces the pool's reset, which costs a round trip: no statement here leaves state in a session."""


async def initialise(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.set_type_codec("json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    async with asyncpg.create_pool(
        os.environ["BENCH_DATABASE_URL"],
        min_size=10,
        max_size=10,
        init=initialise,
        reset=keep,
        max_cached_statement_lifetime=0,  # no timers
        max_inactive_connection_lifetime=0,
        server_settings={"timezone": "UTC", "jit": "off"},
    ) as pool:
        yield {"pool": pool}


def json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


async def tickets(request: Request) -> Response:
    return json(await request.state.pool.fetchval(LIST))


async def ticket(request: Request) -> Response:
    return json(await request.state.pool.fetchval(DETAIL, request.path_params["key"]))


async def board(request: Request) -> Response:
    return json(await request.state.pool.fetchval(BOARD))


async def set_status(request: Request) -> Response:
    status = orjson.loads(await request.body())["status"]
    return json(await request.state.pool.fetchval(SET_STATUS, request.path_params["key"], status))


async def filtered(request: Request) -> Response:
    query = request.query_params
    values = [int(query["first"]), query["status"].split(","), query["priority"].split(",")]
    if "technician" in query:
        return json(await request.state.pool.fetchval(FILTERED_OF_TECHNICIAN, *values, query["technician"]))
    return json(await request.state.pool.fetchval(FILTERED, *values))


async def open_work(request: Request) -> Response:
    return json(await request.state.pool.fetchval(OPEN_WORK, request.path_params["key"]))


async def own_open_work(request: Request) -> Response:
    return json(await request.state.pool.fetchval(OWN_OPEN_WORK, request.path_params["key"]))


async def of_customer(request: Request) -> Response:
    return json(await request.state.pool.fetchval(OF_CUSTOMER, request.path_params["key"]))


async def create(request: Request) -> Response:
    given = orjson.loads(await request.body())
    values = given["customer"], given["subject"], given["description"], given["priority"]
    while True:
        try:
            return json(await request.state.pool.fetchval(CREATE, draw_reference(), *values))
        except asyncpg.UniqueViolationError:
            """The reference is in use: of a million tickets, one in a thousand."""


app = Starlette(
    routes=[
        Route("/tickets", create, methods=["POST"]),
        Route("/tickets/filtered", filtered),
        Route("/technicians/{key}/work", open_work),
        Route("/technicians/{key}/own-work", own_open_work),
        Route("/customers/{key}/tickets", of_customer),
        Route("/tickets", tickets),
        Route("/tickets/{key}", ticket),
        Route("/board", board),
        Route("/tickets/{key}/status", set_status, methods=["PUT"]),
    ],
    lifespan=lifespan,
)
