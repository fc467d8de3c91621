import { assertEquals } from "../../shared/testing.ts";
import type { Command, Queued } from "../../../examples/device.ts";
import type { TechTicketFragment as Ticket } from "../operations.ts";
import { withQueue } from "./queue.ts";

const AT = "2026-11-01T08:00:00.000Z";

function ticket(id: string, changes: Partial<Ticket> = {}): Ticket {
  const assignment = { id: `asg_${id}`, state: "OFFERED" as const, offeredAt: AT, seenAt: null, eta: null };
  const notes = { totalCount: 0, nodes: [] };
  return { id, status: "OPEN", resolution: null, assignment, notes, property: null, ...changes } as unknown as Ticket;
}

function queued(...commands: Omit<Command, "key">[]): Queued[] {
  return commands.map((command, place) => {
    const [[kind, given]] = Object.entries(command) as [[string, object]];
    const key = `key ${place}`;
    return { key, command: { [kind]: { key, occurredAt: AT, ...given } }, result: null };
  });
}

Deno.test("what is queued shows as it will be", () => {
  const [shown] = withQueue(
    [ticket("a")],
    queued(
      { assignment: { key: "", assignmentId: "asg_a", to: "SEEN" } },
      { assignment: { key: "", assignmentId: "asg_a", to: "EN_ROUTE", eta: "2026-11-01T09:00:00Z" } },
      { note: { key: "", ticketId: "a", body: "On my way." } },
      { resolve: { key: "", ticketId: "a", resolution: "Done." } },
    ),
  );
  assertEquals([shown!.assignment!.state, shown!.assignment!.eta], ["EN_ROUTE", "2026-11-01T09:00:00Z"]);
  assertEquals(shown!.assignment!.seenAt, AT);
  assertEquals(shown!.notes.nodes.map(({ body, internalOnly }) => [body, internalOnly]), [["On my way.", true]]);
  assertEquals([shown!.status, shown!.resolution], ["RESOLVED", "Done."]);
});

Deno.test("a declined ticket is gone, and other tickets stay as they are", () => {
  const tickets = [ticket("a"), ticket("b")];
  const decline = queued({ assignment: { key: "", assignmentId: "asg_a", to: "DECLINED", reason: "Ill." } });
  assertEquals(withQueue(tickets, decline), [tickets[1]!]);
});

Deno.test("what was refused does not show", () => {
  const [entry] = queued({ resolve: { key: "", ticketId: "a", resolution: "Done." } });
  const result = {
    key: entry!.key,
    outcome: "REJECTED" as const,
    conflicts: [],
    ticket: null,
    uploadUrl: null,
    userErrors: [],
  };
  assertEquals(withQueue([ticket("a")], [{ ...entry!, result }]), [ticket("a")]);
});

Deno.test("a note that the server has, but whose answer is missing, shows once", () => {
  const note = {
    id: "not_1",
    body: "Called.",
    internalOnly: true,
    createdAt: AT,
    author: { kind: "TECHNICIAN", name: "Tess" },
  };
  const nodes = [{ ...note, occurredAt: "2026-11-01T08:00:00.000000+00:00" }] as Ticket["notes"]["nodes"];
  const kept = ticket("a", { notes: { totalCount: 1, nodes } });
  assertEquals(withQueue([kept], queued({ note: { key: "", ticketId: "a", body: "Called." } })), [kept]);
});

Deno.test("what was added on how to get in shows on all tickets of the property, before the rest", () => {
  const property = { id: "prp_1", address: "12 Elm Street", accountNumber: "E-1", accessNotes: "Key at the desk." };
  const shown = withQueue(
    [ticket("a", { property }), ticket("b", { property }), ticket("c")],
    queued({ propertyAccessNote: { key: "", propertyId: "prp_1", body: "Ring twice." } }),
  );
  assertEquals(shown.map(({ property }) => property?.accessNotes ?? null), [
    "Ring twice.\n\nKey at the desk.",
    "Ring twice.\n\nKey at the desk.",
    null,
  ]);
});
