/** The list's data: the live window, further pages below it, the numbers on the tabs, and who looks at what. */

import { computed, effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import { execute, subscribe } from "../../shared/client.ts";
import { patched } from "../../shared/window.ts";
import {
  TicketList as TicketListDocument,
  TicketListCounts,
  type TicketListCountsSubscription,
  TicketListFurther,
  type TicketRowFragment,
} from "../operations.ts";
import { type Edge, type Rows, shown, withFurther } from "./rows.ts";
import { filterOf, orderOf, type View } from "./view.ts";

export type Row = TicketRowFragment;
export type Counts = TicketListCountsSubscription["ticketCountsChanged"];

/** Somebody who looks at a ticket, or edits it. */
export interface Present {
  state: "VIEWING" | "EDITING";
  viewer: { name: string };
}

const FIRST = 100;

export class TicketListStore {
  readonly total = signal<number | null>(null);
  readonly counts = signal<Counts | null>(null);
  readonly failed = signal<string | null>(null);
  readonly loadingFurther = signal(false);
  /** Whether the rows must stay where they are. */
  readonly held = signal(false);
  /** Who is on which ticket. */
  readonly present = signal<ReadonlyMap<string, readonly Present[]>>(new Map());
  readonly #window = signal<readonly Edge<Row>[] | null>(null);
  readonly #first = signal<Rows<Row> | null>(null);
  readonly #further = signal<readonly Edge<Row>[]>([]);
  readonly #ends: (() => void)[];

  /** The rows to show; null until the first are there. */
  readonly rows: ReadonlySignal<Rows<Row> | null> = computed(() => {
    const first = this.#first.value;
    return first === null ? null : { ...first, edges: withFurther(first.edges, this.#further.value) };
  });

  constructor(private readonly view: View) {
    this.#ends = [
      subscribe(TicketListDocument, () => ({ filter: filterOf(view, true), orderBy: orderOf(view), first: FIRST }), {
        next: ({ ticketsLive: message }) => this.#take(message),
        failed: (error) => this.failed.value = error.message,
      }),
      subscribe(TicketListCounts, () => ({ filter: filterOf(view, false) }), {
        next: ({ ticketCountsChanged }) => this.counts.value = ticketCountsChanged,
        failed: () => this.counts.value = null,
      }),
      effect(() => {
        const window = this.#window.value;
        const held = this.held.value;
        if (window === null) return;
        untracked(() => this.#first.value = shown(window, this.#first.value, held));
      }),
    ];
  }

  close(): void {
    this.#ends.forEach((end) => end());
  }

  /** Shows the window as it is now, held or not. */
  showWaiting(): void {
    if (this.#window.value !== null) this.#first.value = shown(this.#window.value, null, false);
  }

  /** Reads the page below the last row, if there is one. */
  async readFurther(): Promise<void> {
    const edges = this.rows.value?.edges;
    const after = edges?.at(-1)?.cursor;
    if (after === undefined || this.loadingFurther.value || edges!.length >= (this.total.value ?? 0)) return;
    this.loadingFurther.value = true;
    try {
      const variables = { filter: filterOf(this.view, true), orderBy: orderOf(this.view), after };
      const { tickets } = await execute(TicketListFurther, variables);
      this.#further.value = [...this.#further.value, ...tickets.edges];
    } catch (error) {
      this.failed.value = (error as Error).message;
    } finally {
      this.loadingFurther.value = false;
    }
  }

  #take(message: Parameters<typeof isPresence>[0]): void {
    if (isPresence(message)) {
      this.present.value = new Map(this.present.value).set(message.ticketId, message.present);
      return;
    }
    this.failed.value = null;
    this.total.value = message.totalCount;
    if (message.__typename === "WindowSnapshot") this.#window.value = message.edges;
    else this.#window.value = patched(this.#window.value ?? [], message.operations);
  }
}

type Message = import("../operations.ts").TicketListSubscription["ticketsLive"];
type PresenceMessage = Extract<Message, { __typename: "TicketPresence" }>;

function isPresence(message: Message): message is PresenceMessage {
  return message.__typename === "TicketPresence";
}
