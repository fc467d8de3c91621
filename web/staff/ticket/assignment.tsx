/** How far the technician has come with a ticket. */

import { staffTicket as texts } from "../../texts/staff_ticket.ts";
import { Time } from "../../shared/time.tsx";
import type { Ticket, TicketStore } from "./store.ts";

const STEPS = ["offeredAt", "deliveredAt", "seenAt", "acceptedAt", "enRouteAt", "onSiteAt", "leftAt"] as const;

export function AssignmentSteps({ store, ticket }: { store: TicketStore; ticket: Ticket }) {
  const { assignment } = ticket;
  if (assignment === null) return null;
  const { state, reason, eta } = assignment;
  const name = assignment.technician?.name ?? "";
  const declined = reason === null ? texts.assignment.declined(name) : texts.assignment.declinedBecause(name, reason);
  return (
    <section class="card" aria-labelledby="ticket-assignment">
      <h2 id="ticket-assignment">{texts.assignment.title}</h2>
      {store.overdue.value && <p class="notice notice-danger" role="status">⚠ {texts.assignment.overdue}</p>}
      {state === "DECLINED" && <p class="notice notice-warning" role="status">{declined}</p>}
      <ol class="steps">
        {STEPS.map((step) => {
          const at = assignment[step];
          return (
            <li key={step} class={at === null ? "step" : "step step-done"}>
              <span aria-hidden="true">{at === null ? "○" : "●"}</span> {texts.assignment.steps[step]}{" "}
              <span class="hint">{at === null ? texts.assignment.notYet : <Time at={at} />}</span>
            </li>
          );
        })}
      </ol>
      {eta !== null && (
        <p>
          {texts.assignment.eta} <Time at={eta} />
        </p>
      )}
    </section>
  );
}
