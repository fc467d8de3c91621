/** A dropdown that saves at once: it shows the new value while it is on its way, and the old one if it was refused. */

import { computed, signal } from "@preact/signals";
import { execute } from "../../shared/client.ts";
import { persistently } from "../../shared/saving.ts";
import { TicketPageAssign, TicketPageSetStatus, TicketPageUpdate } from "../operations.ts";
import type { TicketCategory, TicketPriority, TicketStatus } from "../operations.ts";
import { afterStale, type FieldName } from "./rules.ts";
import { messageOf, type Ticket, type TicketStore, type UserError } from "./store.ts";

/** What became of the last change. In a `CONFLICT`, `wanted` is what was not saved, and `theirs` what is there. */
export type Outcome =
  | { kind: "NONE" | "SAVING" | "WAITING" | "SAVED" }
  | { kind: "REFUSED"; message: string }
  | { kind: "CONFLICT"; wanted: string; theirs: string };

interface Answer {
  ticket: Ticket | null;
  userErrors: UserError[];
}

export class FieldSaver {
  readonly outcome = signal<Outcome>({ kind: "NONE" });
  readonly #wanted = signal<string | null>(null);
  /** What the dropdown shows. */
  readonly value = computed(() => {
    const ticket = this.store.ticket.value;
    return this.#wanted.value ?? (ticket === null ? "" : valueOf(ticket, this.name));
  });
  #queue = Promise.resolve();

  constructor(private readonly store: TicketStore, readonly name: FieldName) {}

  /** Saves a value, after those that are on their way. */
  set(wanted: string): void {
    this.#wanted.value = wanted;
    this.outcome.value = { kind: "SAVING" };
    const { [this.name]: _, ...rest } = this.store.changedBy.value;
    this.store.changedBy.value = rest;
    this.#queue = this.#queue.then(() => this.#save(wanted));
  }

  get saving(): boolean {
    return this.#wanted.value !== null;
  }

  dismiss(): void {
    this.outcome.value = { kind: "NONE" };
  }

  async #save(wanted: string): Promise<void> {
    let outcome: Outcome;
    try {
      outcome = await this.#saved(wanted, valueOf(this.store.ticket.value!, this.name));
    } catch (error) {
      outcome = { kind: "REFUSED", message: messageOf(error) };
    }
    if (this.#wanted.value !== wanted) return; // another value was chosen since
    this.#wanted.value = null;
    this.outcome.value = outcome;
  }

  async #saved(wanted: string, base: string): Promise<Outcome> {
    for (;;) {
      const { ticket, userErrors } = await this.#send(wanted);
      const [error] = userErrors;
      if (ticket !== null) this.store.show(ticket);
      if (error === undefined) return { kind: "SAVED" };
      if (error.code !== "STALE" || ticket === null) return { kind: "REFUSED", message: error.message };
      const theirs = valueOf(ticket, this.name);
      const next = afterStale(base, wanted, theirs);
      if (next === "DONE") return { kind: "SAVED" };
      if (next === "CONFLICT") return { kind: "CONFLICT", wanted, theirs };
    }
  }

  #send(wanted: string): Promise<Answer> {
    const { id, version } = this.store.ticket.value!;
    const base = { ticketId: id, ifVersion: version, idempotencyKey: this.store.key() };
    return persistently(() => this.#request(base, wanted), (waits) => {
      if (this.outcome.value.kind === "SAVING" && waits) this.outcome.value = { kind: "WAITING" };
      else if (this.outcome.value.kind === "WAITING" && !waits) this.outcome.value = { kind: "SAVING" };
    });
  }

  async #request(base: { ticketId: string; ifVersion: number; idempotencyKey: string }, wanted: string) {
    switch (this.name) {
      case "status": {
        const input = { ...base, status: wanted as TicketStatus };
        return (await execute(TicketPageSetStatus, { input })).ticketSetStatus;
      }
      case "technician": {
        const input = { ...base, technicianId: wanted === "" ? null : wanted };
        return (await execute(TicketPageAssign, { input })).ticketAssign;
      }
      case "priority": {
        const input = { ...base, priority: wanted as TicketPriority };
        return (await execute(TicketPageUpdate, { input })).ticketUpdate;
      }
      case "category": {
        const input = { ...base, category: wanted as TicketCategory };
        return (await execute(TicketPageUpdate, { input })).ticketUpdate;
      }
    }
  }
}

function valueOf(ticket: Ticket, name: FieldName): string {
  return name === "technician" ? ticket.technician?.id ?? "" : ticket[name];
}
