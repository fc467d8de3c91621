/** Tickets as they will be once the queue has been sent. */

import type { Command, Queued } from "../../../examples/device.ts";
import type { AssignmentState, TechTicketFragment as Ticket } from "../operations.ts";

type Step = "SEEN" | Exclude<AssignmentState, "OFFERED" | "SUPERSEDED">;

/** A note in a ticket that may not have been sent yet. */
export type Note = Ticket["notes"]["nodes"][number] & { waits?: true };

/** The kind of a command, and its input. */
export function partsOf<Name extends keyof Command>(command: Command): [Name, NonNullable<Command[Name]>] {
  return Object.entries(command)[0] as [Name, NonNullable<Command[Name]>];
}

/** The tickets after the commands that have no result yet, in order. One that has been declined is left out. */
export function withQueue(tickets: readonly Ticket[], queue: readonly Queued[]): Ticket[] {
  const found = new Map(tickets.map((ticket) => [ticket.id, ticket]));
  const change = (id: string | undefined, changes: (ticket: Ticket) => Partial<Ticket>) => {
    const ticket = found.get(id ?? "");
    if (ticket) found.set(ticket.id, { ...ticket, ...changes(ticket) });
  };
  for (const { command, result, key } of queue) {
    if (result) continue;
    const { note, status, resolve, assignment, propertyAccessNote } = command;
    if (note) change(note.ticketId, (ticket) => ({ notes: withNote(ticket.notes, key, note) }));
    if (status) change(status.ticketId, () => ({ status: status.status as Ticket["status"] }));
    if (resolve) {
      const { resolution = null } = resolve;
      change(resolve.ticketId, () => ({ status: "RESOLVED", resolution }));
    }
    if (assignment) {
      const step = assignment.to as Step;
      const one = tickets.find((ticket) => ticket.assignment?.id === assignment.assignmentId);
      if (one && step === "DECLINED") found.delete(one.id);
      else change(one?.id, (ticket) => ({ assignment: stepped(ticket.assignment!, step, assignment) }));
    }
    if (propertyAccessNote) {
      for (const { id, property } of [...found.values()]) {
        if (property === null || property.id !== propertyAccessNote.propertyId) continue;
        const accessNotes = [propertyAccessNote.body, property.accessNotes].filter(Boolean).join("\n\n");
        change(id, () => ({ property: { ...property, accessNotes } }));
      }
    }
  }
  return [...found.values()];
}

function withNote(notes: Ticket["notes"], id: string, given: NonNullable<Command["note"]>): Ticket["notes"] {
  const at = String(given.occurredAt);
  const isKnown = ({ body, occurredAt }: Note) =>
    body === given.body && occurredAt !== null && Date.parse(occurredAt) === Date.parse(at);
  if (notes.nodes.some(isKnown)) return notes; // only the answer is missing
  const note: Note = {
    id,
    body: String(given.body),
    internalOnly: given.internalOnly !== false,
    createdAt: at,
    occurredAt: at,
    author: { kind: "TECHNICIAN", name: "" },
    waits: true,
  };
  return { totalCount: notes.totalCount + 1, nodes: [...notes.nodes, note] };
}

function stepped(
  assignment: NonNullable<Ticket["assignment"]>,
  step: Step,
  given: NonNullable<Command["assignment"]>,
): Ticket["assignment"] {
  if (step === "SEEN") return { ...assignment, seenAt: String(given.occurredAt) };
  return { ...assignment, state: step, eta: given.eta ? String(given.eta) : assignment.eta };
}
