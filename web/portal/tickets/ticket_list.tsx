/** The customer's requests: those under way at the top, and what has been done, kept up to date. */

import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { execute, subscribe } from "../../shared/client.ts";
import { patched } from "../../shared/window.ts";
import { portal as texts } from "../../texts/portal.ts";
import {
  PortalOlderTickets,
  type PortalTicketRowFragment as Row,
  PortalTickets,
  type TicketFilter,
} from "../operations.ts";
import { StatusLine } from "../ticket/status.tsx";

const SHOWN = 50;
const OPEN: TicketFilter = { status: ["OPEN", "IN_PROGRESS"] };
const DONE: TicketFilter = { status: ["RESOLVED", "CLOSED"] };

interface Edge {
  cursor: string;
  node: Row;
}

export function TicketList() {
  return (
    <main class="portal-page">
      <header class="portal-head">
        <h1>{texts.tickets.title}</h1>
        <a class="button primary" href="/portal/new">{texts.tickets.new}</a>
      </header>
      <Section title={texts.tickets.open} filter={OPEN} whenEmpty={<Nothing />} />
      <Section title={texts.tickets.done} filter={DONE} />
    </main>
  );
}

function Nothing() {
  return (
    <div class="empty">
      <p class="empty-title">{texts.tickets.none}</p>
      <p>{texts.tickets.noneText}</p>
    </div>
  );
}
