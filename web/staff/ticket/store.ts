/** A ticket as its page shows it: read once, and then kept up to date by one stream (`ticketFollow`). */

import { computed, signal } from "@preact/signals";
import { execute, executeLive, newKey, subscribe } from "../../shared/client.ts";
import { messageOf } from "../../shared/errors.ts";
import { askBeforeLeaving } from "../../shared/leaving.ts";
import { persistently, retryAfter } from "../../shared/saving.ts";
import { sendAgain } from "../deliveries/send_again.ts";
import {
  type DeliveryPartFragment,
  TicketPage,
  TicketPageAddArticle,
  TicketPageAddNote,
  type TicketPageAttachmentFragment,
  TicketPageAttachments,
  TicketPageEarlierNotes,
  type TicketPageEventsFragment,
  TicketPageFollow,
  type TicketPageFollowSubscription,
  TicketPageHistory,
  TicketPageId,
  type TicketPageNoteFragment,
  type TicketPageNotesFragment,
  TicketPagePresence,
  type TicketPageQuery,
  TicketPageResolve,
  type TicketPageTicketFragment,
  TicketPageUpdate,
} from "../operations.ts";
import { FieldSaver } from "./field_saver.ts";
import { FIELD_NAMES, type FieldName, filesOf, merged, newer, others, type Present, upserted } from "./rules.ts";

export type Ticket = TicketPageTicketFragment;
export type Note = TicketPageNoteFragment;
export type Attachment = TicketPageAttachmentFragment;
export type Delivery = DeliveryPartFragment;
export { messageOf };
export type Event = TicketPageEventsFragment["nodes"][number];
export type UserError = { field: string[]; message: string; code: string };
type Message = TicketPageFollowSubscription["ticketFollow"];
type Change = Extract<Message, { __typename: "TicketChange" }>;
type Page = TicketPageQuery["tickets"]["nodes"][number];

/** A stream that was refused is tried again after as long as a change that has failed so often. */
const FAILURES = 2;
const EDITING_MILLISECONDS = 30_000;
const LINKS_LAST_MILLISECONDS = 8 * 60_000;

export class TicketStore {
  readonly found = signal<"LOADING" | "FOUND" | "MISSING">("LOADING");
  readonly failure = signal<string | null>(null);
  readonly ticket = signal<Ticket | null>(null);
  readonly chat = signal<Page["chat"]>(null);
  readonly followUps = signal<string[]>([]);
  readonly overdue = signal(false);
  readonly notes = signal<readonly Note[]>([]);
  /** The page cursor before which there are earlier notes; null if all are shown. */
  readonly notesBefore = signal<string | null>(null);
  readonly attachments = signal<readonly Attachment[]>([]);
  readonly deliveries = signal<readonly Delivery[]>([]);
  /** Null until `openHistory`. */
  readonly history = signal<readonly Event[] | null>(null);
  readonly historyBefore = signal<string | null>(null);
  /** Who has changed a field last since the page was opened, if it was somebody else. */
  readonly changedBy = signal<Partial<Record<FieldName, string>>>({});
  readonly others = computed(() => others(this.#present.value, this.#me.value));
  readonly savers: Record<FieldName, FieldSaver>;

  readonly #present = signal<readonly Present[]>([]);
  readonly #me = signal<string | null>(null);
  readonly #ownKeys = new Set<string>();
  #id = "";
  #cursor: string | null = null;
  #attachmentsReadAt = 0;
  #historyStale = false;
  #unfollow = () => {};
  #presenceTimer: ReturnType<typeof setTimeout> | undefined;
  #editingUntil = 0;
  #closed = false;

  constructor(readonly reference: string) {
    this.savers = Object.fromEntries(FIELD_NAMES.map((name) => [name, new FieldSaver(this, name)])) as Record<
      FieldName,
      FieldSaver
    >;
    askBeforeLeaving(() => FIELD_NAMES.some((name) => this.savers[name].saving));
  }

  /** Reads the ticket and follows it. */
  async open(): Promise<void> {
    this.failure.value = null;
    this.#unfollow();
    try {
      const { ticket } = await persistently(() => execute(TicketPageId, { reference: this.reference }));
      if (ticket === null) {
        this.found.value = "MISSING";
        return;
      }
      this.#id = ticket.id;
      await this.#read();
      if (!this.#closed && this.found.value === "FOUND") this.#follow();
    } catch (error) {
      this.failure.value = messageOf(error);
    }
  }

  close(): void {
    this.#closed = true;
    this.#unfollow();
    clearTimeout(this.#presenceTimer);
    if (this.#id !== "") {
      void executeLive(TicketPagePresence, { input: { ticketId: this.#id, state: null } }).catch(nothing);
    }
  }

  /** A key for a change of one's own, whose event is then no change of somebody else's. */
  key(given = newKey()): string {
    this.#ownKeys.add(given);
    return given;
  }

  show(ticket: Ticket): void {
    this.ticket.value = this.ticket.value === null ? ticket : newer(this.ticket.value, ticket);
  }

  async addNote(body: string, internalOnly: boolean, key: string, waiting: (waits: boolean) => void) {
    const input = { ticketId: this.#id, body, internalOnly, idempotencyKey: this.key(key) };
    const { noteAdd } = await persistently(() => execute(TicketPageAddNote, { input }), waiting);
    if (noteAdd.note) this.notes.value = upserted(this.notes.value, noteAdd.note);
    if (noteAdd.userErrors.some(({ code }) => code === "IDEMPOTENCY_CONFLICT")) await this.#read();
    return noteAdd.userErrors;
  }

  /** Resolves the ticket, unless a colleague has done so meanwhile: then their resolution is shown, and the errors say
   * so. */
  async resolve(resolution: string, key: string, waiting: (waits: boolean) => void): Promise<UserError[]> {
    for (;;) {
      const ifVersion = this.ticket.value!.version;
      const input = { ticketId: this.#id, resolution, ifVersion, idempotencyKey: this.key(key) };
      const { ticketResolve } = await persistently(() => execute(TicketPageResolve, { input }), waiting);
      if (ticketResolve.ticket) this.show(ticketResolve.ticket);
      const stale = ticketResolve.userErrors.some(({ code }) => code === "STALE");
      if (!stale || isResolved(this.ticket.value!)) return ticketResolve.userErrors;
    }
  }

  /** Replaces the resolution of a ticket that is resolved. */
  async replaceResolution(resolution: string): Promise<UserError[]> {
    const input = { ticketId: this.#id, resolution, idempotencyKey: this.key() };
    const { ticketUpdate } = await persistently(() => execute(TicketPageUpdate, { input }));
    if (ticketUpdate.ticket) this.show(ticketUpdate.ticket);
    return ticketUpdate.userErrors;
  }

  async addArticle(): Promise<UserError[]> {
    const input = { ticketId: this.#id, idempotencyKey: newKey() };
    const { articleCreateFromTicket: answer } = await persistently(() => execute(TicketPageAddArticle, { input }));
    const ticket = this.ticket.value;
    if (answer.article && ticket) this.ticket.value = { ...ticket, article: answer.article };
    return answer.userErrors;
  }

  /** Returns why a delivery cannot be sent again, or null if it is on the way. */
  async retry(deliveryId: string): Promise<string | null> {
    const { delivery, problem } = await sendAgain(deliveryId);
    if (delivery !== null) this.deliveries.value = upserted(this.deliveries.value, delivery);
    return problem;
  }

  async showEarlierNotes(): Promise<void> {
    const { ticket } = await execute(TicketPageEarlierNotes, { id: this.#id, before: this.notesBefore.value });
    if (ticket === null) return;
    this.notes.value = merged(this.notes.value, ticket.notes.nodes, ({ createdAt }) => createdAt);
    this.notesBefore.value = before(ticket.notes);
  }

  async openHistory(): Promise<void> {
    const { ticket } = await execute(TicketPageHistory, { id: this.#id, before: null });
    if (ticket === null) return;
    const known = this.history.value;
    this.history.value = merged(known ?? [], ticket.history.nodes, ({ at }) => at);
    if (known === null) this.historyBefore.value = before(ticket.history);
  }

  async showEarlierEvents(): Promise<void> {
    const { ticket } = await execute(TicketPageHistory, { id: this.#id, before: this.historyBefore.value });
    if (ticket === null) return;
    this.history.value = merged(this.history.value ?? [], ticket.history.nodes, ({ at }) => at);
    this.historyBefore.value = before(ticket.history);
  }

  /** Reads the attachments again: those on their way have no event, and their URLs work for ten minutes only. */
  async readAttachments(): Promise<void> {
    const { ticket } = await persistently(() => execute(TicketPageAttachments, { id: this.#id }));
    this.#attachmentsReadAt = Date.now();
    if (ticket !== null) this.attachments.value = filesOf(this.attachments.value, ticket.attachments.nodes);
  }

  /** Like `readAttachments`, if the URLs may have expired. */
  async renewLinks(): Promise<void> {
    if (Date.now() - this.#attachmentsReadAt > LINKS_LAST_MILLISECONDS) await this.readAttachments();
  }

  get id(): string {
    return this.#id;
  }

  /** Shows others that something is being written, until 30 seconds after the last time. */
  typing(): void {
    const began = this.#editingUntil < Date.now();
    this.#editingUntil = Date.now() + EDITING_MILLISECONDS;
    if (began) void this.#bePresent();
  }

  async #read(): Promise<void> {
    const { tickets, overdue } = await persistently(() => execute(TicketPage, { id: this.#id }));
    const [page] = tickets.nodes;
    this.#cursor = tickets.streamCursor;
    this.found.value = page === undefined ? "MISSING" : "FOUND";
    if (page === undefined) return;
    this.#attachmentsReadAt = Date.now();
    this.overdue.value = overdue.totalCount > 0;
    this.ticket.value = page;
    this.chat.value = page.chat;
    this.followUps.value = page.followUps.nodes.map(({ reference }) => reference);
    this.attachments.value = page.attachments.nodes;
    this.deliveries.value = page.deliveries.nodes;
    this.#showNotes(page.notes);
    if (this.history.value !== null) await this.openHistory();
  }

  #showNotes(notes: TicketPageNotesFragment): void {
    if (this.notes.value.length === 0) this.notesBefore.value = before(notes);
    this.notes.value = merged(this.notes.value, notes.nodes, ({ createdAt }) => createdAt);
  }

  #follow(): void {
    this.#unfollow = subscribe(TicketPageFollow, () => ({ id: this.#id, after: this.#cursor }), {
      next: ({ ticketFollow: message }) => this.#take(message),
      failed: (error) => {
        this.#unfollow();
        if (this.#closed) return;
        const seconds = retryAfter(error, FAILURES);
        if (seconds === null) this.failure.value = messageOf(error);
        else setTimeout(() => this.#closed || this.#follow(), 1_000 * seconds);
      },
    });
  }

  #take(message: Message): void {
    switch (message.__typename) {
      case "TicketChange":
        this.#takeChange(message);
        break;
      case "DeliveryChange":
        this.deliveries.value = upserted(this.deliveries.value, message.delivery);
        break;
      case "TicketPresence":
        this.#present.value = message.present;
        return;
      case "StreamReady":
        this.#present.value = [];
        void this.#bePresent();
        if (!message.resumed) void this.#read();
        break;
      case "StreamReset":
        break; // `StreamReady` follows, which has not resumed
    }
    this.#cursor = message.cursor;
  }

  #takeChange(change: Change): void {
    if (change.change === "LEFT" || change.ticket === null) {
      this.found.value = "MISSING";
      return;
    }
    this.show(change.ticket);
    if (change.key === null || !this.#ownKeys.has(change.key)) this.#noteChangesOf(change);
    if (change.note) this.notes.value = upserted(this.notes.value, change.note);
    if (change.attachment) this.attachments.value = upserted(this.attachments.value, change.attachment);
    for (const delivery of change.deliveries) this.deliveries.value = upserted(this.deliveries.value, delivery);
    if (change.kind === "ASSIGNMENT_OVERDUE") this.overdue.value = true;
    else if (change.ticket.assignment?.state !== "OFFERED" || change.kind === "ASSIGNED") this.overdue.value = false;
    if (this.history.value !== null) this.#renewHistory();
  }

  #noteChangesOf(change: Change): void {
    const fields = FIELD_NAMES.filter((name) => change.changedFields.includes(name));
    const theirs = Object.fromEntries(fields.map((name) => [name, change.actor.name]));
    if (fields.length > 0) this.changedBy.value = { ...this.changedBy.value, ...theirs };
  }

  /** Reads the latest events, once for several that come together. */
  #renewHistory(): void {
    if (this.#historyStale) return;
    this.#historyStale = true;
    setTimeout(() => {
      this.#historyStale = false;
      if (!this.#closed) void this.openHistory().catch(nothing);
    }, 200);
  }

  async #bePresent(): Promise<void> {
    clearTimeout(this.#presenceTimer);
    const state = this.#editingUntil > Date.now() ? "EDITING" as const : "VIEWING" as const;
    let seconds = 30;
    try {
      const { presenceSet } = await executeLive(TicketPagePresence, { input: { ticketId: this.#id, state } });
      this.#me.value = presenceSet.presence?.viewer.id ?? this.#me.value;
      seconds = presenceSet.renewWithinSeconds ?? seconds;
    } catch {
      // The others do not see who is here for a while; nothing else depends on it.
    }
    if (!this.#closed) this.#presenceTimer = setTimeout(() => void this.#bePresent(), 500 * seconds);
  }
}

function before(connection: { pageInfo: { hasPreviousPage: boolean; startCursor: string | null } }): string | null {
  return connection.pageInfo.hasPreviousPage ? connection.pageInfo.startCursor : null;
}

function nothing(): void {}

export function isResolved(ticket: Ticket): boolean {
  return ticket.status === "RESOLVED" || ticket.status === "CLOSED";
}
