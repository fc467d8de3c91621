/** The list's data: the live window, further pages below it, the numbers on the tabs, and who looks at what. */

import { batch, computed, effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import { execute } from "../../shared/client.ts";
import { type Live, live, type LiveState } from "../../shared/live.ts";
import { persistently } from "../../shared/saving.ts";
import { patched } from "../../shared/window.ts";
import {
  type TicketFilter,
  TicketList as TicketListDocument,
  TicketListCounts,
  type TicketListCountsSubscription,
  TicketListFollow,
  TicketListFollowed,
  type TicketListFollowSubscription,
  TicketListFurther,
  type TicketListSubscription,
  type TicketRowFragment,
} from "../operations.ts";
import { type Edge, extended, goneWith, held, released, replaced, type Rows } from "./rows.ts";
import { addressOf, filterOf, orderOf, type View } from "./view.ts";

export type Row = TicketRowFragment;
export type Counts = TicketListCountsSubscription["ticketCountsChanged"];
type Message = TicketListSubscription["ticketsLive"];
type PresenceMessage = Extract<Message, { __typename: "TicketPresence" }>;
export type Present = PresenceMessage["present"][number];

/** The fields that can be shown as changed before the server has answered. */
export type Change = Partial<Pick<Row, "status" | "priority">>;

const FIRST = 100;
const FOLLOWED = 100;

export class TicketListStore {
  /** Whether the rows must stay where they are. */
  readonly isHeld = signal(false);
  readonly total = signal<number | null>(null);
  readonly counts = signal<Counts | null>(null);
  /** Who is on which ticket. */
  readonly present = signal<ReadonlyMap<string, readonly Present[]>>(new Map());
  /** The view whose rows are shown; for a moment after `show`, still the one before. */
  readonly shownView = signal<View | null>(null);
  readonly isReadingFurther = signal(false);
  /** Why the next page could not be read. */
  readonly furtherFailed = signal<string | null>(null);
  readonly #window = signal<readonly Edge<Row>[] | null>(null);
  readonly #rows = signal<Rows<Row> | null>(null);
  readonly #changes = signal<ReadonlyMap<string, Change>>(new Map());
  readonly #live = signal<Live | null>(null);
  #view: View | null = null;
  #counting: Live | null = null;
  #counted = "";
  #following: Live | null = null;
  #followed: readonly string[] = [];
  #hasFurther = true;
  #stopSettling = () => {};

  /** The rows to show; null until the first are there. */
  readonly rows: ReadonlySignal<Rows<Row> | null> = computed(() => {
    const [rows, changes] = [this.#rows.value, this.#changes.value];
    if (rows === null || changes.size === 0) return rows;
    const edges = rows.edges.map((edge) => {
      const change = changes.get(edge.node.id);
      return change === undefined ? edge : { ...edge, node: { ...edge.node, ...change } };
    });
    return { ...rows, edges };
  });
  readonly state: ReadonlySignal<LiveState> = computed(() => this.#live.value?.state.value ?? "CONNECTING");
  readonly error = computed(() => this.#live.value?.error.value ?? null);

  /** Shows a view. The rows of the one before stay until those of the new one are there. */
  show(view: View): void {
    if (this.#view !== null && addressOf(this.#view) === addressOf(view) && this.#live.value !== null) return;
    this.#live.value?.close();
    this.follow([]);
    this.#stopSettling();
    this.#view = view;
    this.furtherFailed.value = null;
    this.#live.value = live(
      TicketListDocument,
      () => ({ filter: filterOf(view, true), orderBy: orderOf(view), first: FIRST }),
      ({ ticketsLive }) => this.#take(ticketsLive, view),
    );
    this.#stopSettling = effect(() => {
      if (!this.isHeld.value) untracked(() => this.#settle());
    });
    this.#count(view);
  }

  close(): void {
    this.#live.value?.close();
    this.#live.value = null;
    this.#counting?.close();
    this.#counting = null;
    this.#counted = "";
    this.follow([]);
    this.#stopSettling();
  }

  /** Shows the list as it is now, held or not. */
  showWaiting(): void {
    this.#settle();
  }

  /** Reads the page below the last row, if there is one. */
  async readFurther(): Promise<void> {
    const [rows, view] = [this.#rows.value, this.shownView.value];
    if (rows === null || view === null || view !== this.#view || rows.end === null) return;
    if (!this.#hasFurther || this.isReadingFurther.value || this.furtherFailed.value !== null) return;
    this.isReadingFurther.value = true;
    try {
      const variables = { filter: filterOf(view, true), orderBy: orderOf(view), after: rows.end };
      const { tickets } = await persistently(() => execute(TicketListFurther, variables));
      const now = this.#rows.value;
      if (now === null || now.end !== rows.end || view !== this.#view) return;
      this.#hasFurther = tickets.pageInfo.hasNextPage;
      this.#rows.value = extended(now, tickets.edges, tickets.pageInfo.endCursor);
    } catch (error) {
      this.furtherFailed.value = (error as Error).message;
    } finally {
      this.isReadingFurther.value = false;
    }
  }

  /** Keeps these rows up to date, those in sight; the window's are anyway. */
  follow(ids: readonly string[]): void {
    const inWindow = new Set((this.#window.value ?? []).map(({ node }) => node.id));
    const wanted = ids.filter((id) => !inWindow.has(id)).slice(0, FOLLOWED);
    if (wanted.join() === this.#followed.join()) return;
    this.#followed = wanted;
    this.#following?.close();
    this.#following = null;
    if (wanted.length === 0 || this.#view === null) return;
    const filter = { ...filterOf(this.#view, true), ids: [...wanted] };
    this.#following = live(TicketListFollow, () => ({ filter }), (data) => this.#takeFollowed(data, filter));
  }

  /** Shows a ticket as changed until the server has answered: until `replace` or `revert`. */
  expect(id: string, change: Change): void {
    this.#changes.value = new Map(this.#changes.value).set(id, { ...this.#changes.value.get(id), ...change });
  }

  revert(id: string): void {
    const changes = new Map(this.#changes.value);
    changes.delete(id);
    this.#changes.value = changes;
  }

  /** Shows tickets as the server says that they are now. */
  replace(tickets: readonly Row[]): void {
    batch(() => {
      const rows = this.#rows.value;
      if (rows !== null) this.#rows.value = { ...rows, edges: replaced(rows.edges, tickets) };
      if (this.#window.value !== null) this.#window.value = replaced(this.#window.value, tickets);
      tickets.forEach(({ id }) => this.revert(id));
    });
  }

  #count(view: View): void {
    const filter = filterOf(view, false);
    if (this.#counted === JSON.stringify(filter)) return;
    this.#counted = JSON.stringify(filter);
    this.#counting?.close();
    this.counts.value = null;
    this.#counting = live(TicketListCounts, () => ({ filter }), ({ ticketCountsChanged }) => {
      this.counts.value = ticketCountsChanged;
    });
  }

  /** Shows the window, without further pages: these are read again as somebody scrolls. */
  #settle(): void {
    if (this.#window.value === null) return;
    this.#hasFurther = this.#window.value.length === FIRST;
    this.#rows.value = released(this.#window.value);
  }

  #take(message: Message, view: View): void {
    batch(() => {
      if (message.__typename === "TicketPresence") this.#takePresence(message);
      else if (message.__typename === "WindowPatch") {
        this.#change(patched(this.#window.value ?? [], message.operations));
        this.total.value = message.totalCount;
      } else {
        this.present.value = new Map();
        const isSame = this.shownView.value !== null && addressOf(this.shownView.value) === addressOf(view);
        this.shownView.value = view;
        if (isSame) this.#change(message.edges);
        else {
          this.#window.value = message.edges;
          this.#settle();
        }
        this.total.value = message.totalCount;
      }
    });
  }

  /** Takes the window as it is now. Held rows are brought up to date where they are. */
  #change(window: readonly Edge<Row>[]): void {
    const gone = new Set(goneWith(this.#window.value ?? [], window, FIRST));
    this.#window.value = window;
    if (this.isHeld.value && this.#rows.value !== null) this.#rows.value = held(this.#rows.value, window, gone);
    else this.#settle();
  }

  #takePresence({ ticketId, present }: PresenceMessage): void {
    const all = new Map(this.present.value);
    if (present.length > 0) all.set(ticketId, present);
    else all.delete(ticketId);
    this.present.value = all;
  }

  #takeFollowed({ ticketChanged: message }: TicketListFollowSubscription, filter: TicketFilter): void {
    if (message.__typename === "StreamReady") void this.#readFollowed(filter).catch(() => {}); // they are old, no worse
    else if (message.__typename === "TicketChange") {
      this.#update(message.ticket ? [message.ticket] : [], [message.ticketId], message.change === "LEFT");
    }
  }

  /** Reads the followed rows again: they may have changed between their page and the beginning of the stream. */
  async #readFollowed(filter: TicketFilter): Promise<void> {
    const ids = this.#followed;
    const { nodes } = (await persistently(() => execute(TicketListFollowed, { filter }))).tickets;
    if (ids !== this.#followed) return;
    const found = new Set(nodes.map(({ id }) => id));
    this.#update(nodes, [...found], false);
    this.#update([], ids.filter((id) => !found.has(id)), true);
  }

  /** Brings shown rows up to date where they are, and marks those of `ids` as left, or as there. */
  #update(tickets: readonly Row[], ids: readonly string[], haveLeft: boolean): void {
    const rows = this.#rows.value;
    if (rows === null) return;
    const left = new Set(rows.left);
    ids.forEach((id) => haveLeft ? left.add(id) : left.delete(id));
    this.#rows.value = { ...rows, edges: replaced(rows.edges, tickets), left };
  }
}
