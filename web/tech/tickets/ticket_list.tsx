/** The technician's open tickets by what is to be done next, kept up to date. */

import { PriorityBadge } from "../../shared/badges.tsx";
import { Time } from "../../shared/time.tsx";
import { tech as texts } from "../../texts/tech.ts";
import { type Ticket, tickets } from "../device/device.ts";
import { Page } from "../page.tsx";
import { ThisPhone } from "../phone/this_phone.tsx";
import { grouped, GROUPS, inOrder } from "./order.ts";

export function TicketList() {
  return (
    <Page title={texts.title}>
      {tickets.value === null
        ? <div class="skeleton" aria-hidden="true" />
        : <Groups tickets={inOrder(tickets.value.filter(isOpen))} />}
      <p>
        <a class="button" href="/tech/new">{texts.new.title}</a>
      </p>
      <ThisPhone />
    </Page>
  );
}

function isOpen({ status }: Ticket): boolean {
  return status === "OPEN" || status === "IN_PROGRESS";
}

function Groups({ tickets }: { tickets: readonly Ticket[] }) {
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

function TicketRow({ ticket }: { ticket: Ticket }) {
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
              {texts.states[ticket.assignment.state]} · {texts.assigned} <Time at={ticket.assignment.offeredAt} />
            </>
          )}
        </span>
      </a>
    </li>
  );
}
