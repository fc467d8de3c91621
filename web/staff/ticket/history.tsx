/** What has happened to a ticket, read when somebody asks for it. */

import { staffTicket as texts } from "../../texts/staff_ticket.ts";
import { ticketWords as words } from "../../texts/ticket_words.ts";
import { Time } from "../../shared/time.tsx";
import type { Event, TicketStore } from "./store.ts";

type Change = Event["changes"][number];

export function History({ store }: { store: TicketStore }) {
  const events = store.history.value;
  const opened = ({ currentTarget }: { currentTarget: HTMLDetailsElement }) => {
    if (currentTarget.open && events === null) void store.openHistory().catch(() => {});
  };
  return (
    <details class="card" onToggle={opened}>
      <summary>
        <h2>{texts.history.title}</h2>
      </summary>
      {store.historyBefore.value !== null && (
        <button
          type="button"
          class="button quiet"
          onClick={() => void store.showEarlierEvents().catch(() => {})}
        >
          {texts.history.earlier}
        </button>
      )}
      <ol class="history">
        {events?.map((event) => (
          <li key={event.id}>
            <strong>
              <bdi>{event.actor.name}</bdi>
            </strong>{" "}
            {texts.history.kinds[event.kind]}{" "}
            <span class="hint">
              <Time at={event.occurredAt ?? event.at} />
            </span>
            {event.changes.length > 0 && (
              <ul>
                {event.changes.map((change) => (
                  <li key={change.field}>
                    {fieldOf(change)}: <bdi>{valueOf(change, change.before)}</bdi> →{" "}
                    <bdi>{valueOf(change, change.after)}</bdi>
                  </li>
                ))}
              </ul>
            )}
          </li>
        ))}
      </ol>
    </details>
  );
}

function fieldOf({ field }: Change): string {
  return (texts.history.fields as Record<string, string>)[field] ?? field;
}

/** A value as the page shows it elsewhere. Long texts are cut off: the page has the current ones. */
function valueOf({ field }: Change, value: string | null): string {
  if (value === null) return field === "technician" ? words.unassigned : texts.history.nothing;
  const labels: Record<string, Record<string, string>> = {
    status: words.status,
    priority: words.priority,
    category: words.category,
  };
  return labels[field]?.[value] ?? (value.length > 200 ? `${value.slice(0, 200)}…` : value);
}
