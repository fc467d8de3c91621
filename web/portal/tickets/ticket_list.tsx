/** The customer's requests: those under way first, then what has been done, kept up to date. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { execute } from "../../shared/client.ts";
import { live } from "../../shared/live.ts";
import { patched } from "../../shared/window.ts";
import { portal as texts } from "../../texts/portal.ts";
import {
  PortalOlderTickets,
  type PortalTicketRowFragment as Row,
  PortalTickets,
  type TicketFilter,
} from "../operations.ts";
import { Page } from "../page.tsx";
import { StatusBadge, When } from "../ticket/status.tsx";

const SHOWN = 50;
const OPEN: TicketFilter = { status: ["OPEN", "IN_PROGRESS"] };
const DONE: TicketFilter = { status: ["RESOLVED", "CLOSED"] };

interface Edge {
  cursor: string;
  node: Row;
}

export function TicketList() {
  const action = <a class="button primary" href="/portal/new">{texts.tickets.new}</a>;
  return (
    <Page title={texts.tickets.title} action={action}>
      <Section title={texts.tickets.open} filter={OPEN} whenEmpty={<Nothing />} />
      <Section title={texts.tickets.done} filter={DONE} />
    </Page>
  );
}

interface SectionProps {
  title: string;
  filter: TicketFilter;
  whenEmpty?: preact.ComponentChild;
}

function Section({ title, filter, whenEmpty = null }: SectionProps) {
  const first = useSignal<readonly Edge[] | null>(null);
  const older = useSignal<readonly Edge[]>([]);
  const total = useSignal(0);
  const failed = useSignal<string | null>(null);
  useEffect(() => {
    const following = live(PortalTickets, () => ({ filter, first: SHOWN }), ({ ticketsLive: message }) => {
      if (message.__typename === "WindowSnapshot") first.value = message.edges;
      else if (message.__typename === "WindowPatch") first.value = patched(first.value ?? [], message.operations);
      else return;
      total.value = message.totalCount;
    });
    const stop = following.error.subscribe((error) => failed.value = error?.message ?? null);
    return () => {
      stop();
      following.close();
    };
  }, []);

  async function showOlder() {
    const after = (older.value.at(-1) ?? first.value?.at(-1))?.cursor;
    if (after === undefined) return;
    try {
      const { tickets } = await execute(PortalOlderTickets, { filter, after });
      older.value = [...older.value, ...tickets.edges];
      failed.value = null;
    } catch (error) {
      failed.value = (error as Error).message;
    }
  }

  if (first.value === null) return failed.value === null ? <Waiting /> : <p class="error" role="alert">{failed}</p>;
  const shown = new Set(first.value.map(({ node }) => node.id));
  const rows = [...first.value, ...older.value.filter(({ node }) => !shown.has(node.id))];
  if (rows.length === 0) return <>{whenEmpty}</>;
  return (
    <section>
      <h2>
        {title} <span class="count" aria-label={texts.tickets.total(total.value)}>{total}</span>
      </h2>
      <ul class="rows">{rows.map(({ node }) => <TicketRow key={node.id} ticket={node} />)}</ul>
      {rows.length < total.value && (
        <button type="button" class="button" onClick={showOlder}>{texts.tickets.more}</button>
      )}
      {failed.value !== null && <p class="error" role="alert">{failed}</p>}
    </section>
  );
}

function TicketRow({ ticket }: { ticket: Row }) {
  return (
    <li>
      <a class="row" href={`/portal/tickets/${ticket.reference}`}>
        <span class="row-title">{ticket.subject}</span>
        <StatusBadge status={ticket.status} />
        <span class="row-more">
          {ticket.reference}
          {ticket.property && ` · ${ticket.property.address}`}
        </span>
        <span class="row-more">
          {texts.tickets.updated} <When at={ticket.updatedAt} />
        </span>
      </a>
    </li>
  );
}

function Waiting() {
  return <div class="skeleton" aria-hidden="true" />;
}

function Nothing() {
  return (
    <div class="empty">
      <p class="empty-title">{texts.tickets.none}</p>
      <p>{texts.tickets.noneText}</p>
      <a class="button primary" href="/portal/new">{texts.tickets.new}</a>
    </div>
  );
}
