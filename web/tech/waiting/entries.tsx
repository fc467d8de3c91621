/** What is in the queue, in words: what was done, whether it waits, and what to do if it was in conflict or refused. */

import { useSignal } from "@preact/signals";
import { Time } from "../../shared/time.tsx";
import { tech as texts } from "../../texts/tech.ts";
import { ticketWords } from "../../texts/ticket_words.ts";
import { forget, insist, type Queued, tickets } from "../device/device.ts";
import { partsOf } from "../device/queue.ts";

export function Entries({ entries }: { entries: readonly Queued[] }) {
  if (entries.length === 0) return null;
  return (
    <ul class="entries" aria-label={texts.waitingTitle}>
      {entries.map((entry) => <Entry key={entry.key} entry={entry} />)}
    </ul>
  );
}

function Entry({ entry }: { entry: Queued }) {
  const error = useSignal<string | null>(null);
  const [, given] = partsOf(entry.command);
  const ticket = ticketOf(entry);
  const { result } = entry;
  const busy = useSignal(false);
  async function act(work: () => Promise<void>) {
    if (busy.value) return;
    busy.value = true;
    await work().catch((reason: Error) => void (error.value = reason.message));
    busy.value = false;
  }
  return (
    <li class="card" data-open={result !== null}>
      <p>
        <b>{deed(entry)}</b> <Time at={String(given.occurredAt)} />
      </p>
      {wording(entry) !== null && <p class="quote" dir="auto">{wording(entry)}</p>}
      {ticket && (
        <p>
          <a href={`/tech/tickets/${ticket.reference}`}>{ticket.reference} · {ticket.subject}</a>
        </p>
      )}
      {result === null ? <p class="hint">{entry.uploadUrl ? texts.uploads : texts.waits}</p> : (
        <>
          <p class="error">{reason(entry)}</p>
          <div class="actions">
            <button type="button" class="button" onClick={() => act(() => insist(entry))}>{texts.insist}</button>
            <button type="button" class="button danger" onClick={() => act(() => forget(entry.key))}>
              {texts.discard}
            </button>
          </div>
        </>
      )}
      {error.value !== null && <p class="error" role="alert">{error}</p>}
    </li>
  );
}

/** The ticket of an entry, as far as the phone knows it. */
export function ticketOf({ command, result }: Queued): { id: string; reference: string; subject: string } | undefined {
  const [, given] = partsOf(command);
  return result?.ticket ??
    tickets.value?.find(({ id, assignment, property }) =>
      id === given.ticketId || (assignment !== null && assignment.id === given.assignmentId) ||
      (property !== null && property.id === given.propertyId)
    );
}

function deed({ command }: Queued): string {
  const { status, assignment } = command;
  if (assignment) return texts.deeds.assignment[assignment.to as keyof typeof texts.deeds.assignment];
  if (status) return texts.deeds.status(ticketWords.status[status.status as keyof typeof ticketWords.status]);
  return texts.deeds[partsOf(command)[0] as "note" | "resolve" | "attachment" | "propertyAccessNote"];
}

/** What was typed, or the name of the file; null if nothing was. */
function wording({ command }: Queued): string | null {
  const { note, resolve, assignment, attachment, propertyAccessNote } = command;
  const text = note?.body ?? resolve?.resolution ?? assignment?.reason ?? attachment?.name ?? propertyAccessNote?.body;
  return text ? String(text) : null;
}

/** Why the server has not done it. */
function reason({ result }: Queued): string {
  if (result!.outcome === "REJECTED") return result!.userErrors.map(({ message }) => message).join(" ");
  const now = result!.ticket;
  if (now === null) return texts.conflict;
  const changed = result!.conflicts.map((field) =>
    field === "status"
      ? texts.conflictStatus(ticketWords.status[now.status as keyof typeof ticketWords.status])
      : texts.conflictResolution(now.resolution ?? "")
  );
  return changed.join(" ");
}
