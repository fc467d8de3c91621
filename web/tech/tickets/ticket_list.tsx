/** The technician's open tickets by what is to be done next, kept up to date. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { PriorityBadge } from "../../shared/badges.tsx";
import { live } from "../../shared/live.ts";
import { Time } from "../../shared/time.tsx";
import { patched } from "../../shared/window.ts";
import { tech as texts } from "../../texts/tech.ts";
import { type TechTicketRowFragment as Row, TechTickets } from "../operations.ts";
import { Page } from "../page.tsx";
import { grouped, GROUPS } from "./order.ts";

export function TicketList() {
  const rows = useSignal<readonly { node: Row }[] | null>(null);
  const failed = useSignal<string | null>(null);
  useEffect(() => {
    const following = live(TechTickets, () => ({}), ({ ticketsLive: message }) => {
      if (message.__typename === "WindowSnapshot") rows.value = message.edges;
      else if (message.__typename === "WindowPatch") rows.value = patched(rows.value ?? [], message.operations);
    });
    const stop = following.error.subscribe((error) => failed.value = error?.message ?? null);
    return () => {
      stop();
      following.close();
    };
  }, []);
  return (
    <Page title={texts.title}>
      {failed.value !== null && <p class="error" role="alert">{failed}</p>}
      {rows.value === null
        ? <div class="skeleton" aria-hidden="true" />
        : <Groups tickets={rows.value.map(({ node }) => node)} />}
    </Page>
  );
}

function Groups({ tickets }: { tickets: readonly Row[] }) {
  if (tickets.length === 0) {
    return (
      <div class="empty">
        <p class="empty-title">{texts.none}</p>
        <p>{texts.noneText}</p>
      </div>
    );
  }
  const groups = grouped(tickets);
  return (
    <>
      {GROUPS.filter((group) => groups.get(group)!.length > 0).map((group) => (
        <section key={group}>
          <h2>
            {texts.groups[group]}{" "}
            <span class="count" aria-label={texts.total(groups.get(group)!.length)}>{groups.get(group)!.length}</span>
          </h2>
          <ul class="rows">{groups.get(group)!.map((ticket) => <TicketRow key={ticket.id} ticket={ticket} />)}</ul>
        </section>
      ))}
    </>
  );
}

function TicketRow({ ticket }: { ticket: Row }) {
  return (
    <li>
      <a class="row" href={`/tech/tickets/${ticket.reference}`}>
        <span class="row-title" dir="auto">{ticket.subject}</span>
        <PriorityBadge priority={ticket.priority} />
        <span class="row-more" dir="auto">{ticket.property?.address ?? ticket.contact.name}</span>
        <span class="row-more">
          {ticket.reference}
          {ticket.assignment !== null && (
            <>
              {" · "}
              {texts.states[ticket.assignment.state]} <Time at={ticket.assignment.offeredAt} />
            </>
          )}
        </span>
      </a>
    </li>
  );
}
