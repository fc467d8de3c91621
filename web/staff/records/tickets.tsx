/** The tickets of an object, on its page. */

import { StatusBadge } from "../../shared/badges.tsx";
import { execute } from "../../shared/client.ts";
import { type Live, live } from "../../shared/live.ts";
import { Time } from "../../shared/time.tsx";
import { records as texts } from "../../texts/records.ts";
import {
  RecordFurtherTickets,
  RecordTicketsFollow,
  type RecordTicketsFragment,
  type TicketFilter,
} from "../operations.ts";
import { Further } from "./further.tsx";

export function RecordTickets({ first, filter }: { first: RecordTicketsFragment; filter: TicketFilter }) {
  return (
    <section class="card">
      <h2>{texts.tickets(first.totalCount)}</h2>
      <Further
        first={first}
        read={async (after) => (await execute(RecordFurtherTickets, { filter, after })).tickets}
        row={({ reference, subject, status, createdAt }) => (
          <a href={`/tickets/${reference}`}>
            <b dir="auto">{subject}</b>
            <StatusBadge status={status} />
            <span class="hint">
              <Time at={createdAt} />
            </span>
          </a>
        )}
      />
    </section>
  );
}

/** Calls `changed` when one of the newest of these tickets has changed, or another is among them. */
export function followTickets(filter: TicketFilter, changed: () => void): Live {
  return live(RecordTicketsFollow, () => ({ filter }), ({ ticketsLive }) => {
    if (ticketsLive.__typename === "WindowPatch" || ticketsLive.__typename === "WindowSnapshot") changed();
  });
}
