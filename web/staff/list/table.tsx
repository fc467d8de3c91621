/** The rows of the list: those in sight, kept where they are while somebody is about to click one. */

import { type Signal, useComputed, useSignal } from "@preact/signals";
import { Component } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { PriorityBadge, StatusBadge } from "../../shared/badges.tsx";
import { Time } from "../../shared/time.tsx";
import { staffList as texts } from "../../texts/staff_list.ts";
import { ticketWords } from "../../texts/ticket_words.ts";
import { type Shortcut, useShortcuts } from "../shell/keys.ts";
import { BulkBar, Results } from "./bulk.tsx";
import { changeQuickly, type Result, takenBack } from "./changes.ts";
import type { Edge, Rows } from "./rows.ts";
import type { Change, Present, Row, TicketListStore } from "./store.ts";
import { addressOf, isFiltered, PRIORITIES, type Sort, sortedBy, SORTS, type View } from "./view.ts";
import { useVisible, type Visible } from "./visible.ts";

const SETTLED_MILLISECONDS = 300;
const SKELETON_ROWS = 8;
/** How many rows before the end the next page is read. */
const AHEAD = 60;

interface TableProps {
  view: View;
  store: TicketListStore;
}

type Selection = ReadonlyMap<string, string>;

const NOBODY: readonly Present[] = [];

/** Preact replaces the node of a component that renders itself again, but the node that its parent was given as a child
 * stays, with the rows that it had first. As rows that have not changed are kept from one time to the next, all times
 * after the first would stay reachable through them. So what is given as a child is this component, which never renders
 * itself again. */
export function Table(props: TableProps) {
  return <LiveTable {...props} />;
}

function LiveTable({ view, store }: TableProps) {
  const body = useRef<HTMLTableSectionElement>(null);
  const selected = useSignal<Selection>(new Map());
  const results = useSignal<readonly Result[]>([]);
  const edges = useComputed(() => store.rows.value?.edges ?? []);
  const shown = useVisible(body, edges.value.length);
  const rows = store.rows.value;
  const isOld = store.shownView.value === null || addressOf(store.shownView.value) !== addressOf(view);
  useHolding(body, store, selected.value.size > 0);
  useFurther(store, shown, edges);
  const moving = useMoving(body, edges, shown);
  const select = useSelecting(edges, selected);
  useListShortcuts({ body, store, selected, moving, select });

  if (rows === null) return store.state.value === "FAILED" ? null : <Loading />;
  if (rows.edges.length === 0 && rows.waiting === 0) return <Nothing view={view} isOld={isOld} />;
  return (
    <div class="list" aria-busy={isOld}>
      <div class="list-head">
        <p>{store.total.value === null ? "" : texts.total(store.total.value)}</p>
        <Announcement store={store} waiting={rows.waiting} isOld={isOld} />
        {takenBack.value !== null && <p class="error" role="alert">{takenBack}</p>}
      </div>
      <Waiting store={store} waiting={rows.waiting} left={rows.left.size} />
      <table class="tickets" role="table" aria-rowcount={(store.total.value ?? rows.edges.length) + 1}>
        <caption class="visually-hidden">{texts.title}</caption>
        <Head view={view} edges={edges.value} selected={selected} />
        <tbody ref={body} role="rowgroup" style={space(shown.value, rows.edges.length)}>
          {rows.edges.slice(shown.value.from, shown.value.to).map(({ node }, index) => (
            <TicketRow
              key={node.id}
              index={shown.value.from + index}
              ticket={node}
              present={store.present.value.get(node.id) ?? NOBODY}
              hasLeft={rows.left.has(node.id)}
              isSelected={selected.value.has(node.id)}
              select={select}
            />
          ))}
        </tbody>
      </table>
      <Further store={store} />
      <div class="dock">
        {results.value.length > 0 && <Results results={results.value} close={() => results.value = []} />}
        {selected.value.size > 0 && (
          <BulkBar
            selected={selected.value}
            elsewhere={elsewhere(selected.value, rows)}
            store={store}
            done={(all) => {
              results.value = all;
              const failed = all.filter(({ problem }) => problem !== null);
              selected.value = new Map(failed.map(({ id, reference }) => [id, reference]));
            }}
            clear={() => selected.value = new Map()}
          />
        )}
      </div>
    </div>
  );
}

/** How many of the selected tickets are not in the list that is shown. */
function elsewhere(selected: Selection, { edges, left }: Rows<Row>): number {
  const ids = new Set(edges.map(({ node }) => node.id));
  return [...selected.keys()].filter((id) => !ids.has(id) || left.has(id)).length;
}

interface AnnouncementProps {
  store: TicketListStore;
  waiting: number;
  isOld: boolean;
}

/** What a screen reader says of the list: how many tickets a new view has, and how many wait; not each change. */
function Announcement({ store, waiting, isOld }: AnnouncementProps) {
  const total = useMemo(() => isOld ? null : store.total.peek(), [isOld]);
  const text = waiting > 0 ? texts.waiting(waiting) : total === null ? "" : texts.total(total);
  return <p class="visually-hidden" role="status">{text}</p>;
}

/** The space of the rows that are not in the document. */
function space({ from, to, height }: Visible, count: number) {
  return { paddingTop: `${from * height}px`, paddingBottom: `${Math.max(0, count - to) * height}px` };
}

function Waiting({ store, waiting, left }: { store: TicketListStore; waiting: number; left: number }) {
  if (waiting === 0 && left === 0) return <div class="waiting" />;
  return (
    <div class="waiting">
      <button
        type="button"
        class="button"
        onClick={() => {
          scrollTo({ top: 0 });
          store.showWaiting();
        }}
      >
        {waiting > 0 ? texts.showWaiting(waiting) : texts.showChanged}
      </button>
    </div>
  );
}

function Further({ store }: { store: TicketListStore }) {
  if (store.furtherFailed.value === null) {
    return store.isReadingFurther.value ? <p class="hint" role="status">{texts.more}</p> : null;
  }
  const again = () => {
    store.furtherFailed.value = null;
    void store.readFurther();
  };
  return (
    <p class="error" role="alert">
      {store.furtherFailed} <button type="button" class="button" onClick={again}>{texts.again}</button>
    </p>
  );
}

function Loading() {
  return (
    <div class="list" aria-busy="true">
      <p class="visually-hidden" role="status">{texts.loading}</p>
      <div class="tickets" aria-hidden="true">
        {Array.from({ length: SKELETON_ROWS }, (_, index) => <div key={index} class="skeleton skeleton-row" />)}
      </div>
    </div>
  );
}

function Nothing({ view, isOld }: { view: View; isOld: boolean }) {
  const narrowed = isFiltered(view) || view.tab !== "ALL";
  return (
    <div class="empty" role="status" aria-busy={isOld}>
      <p class="empty-title">{narrowed ? texts.noMatch : texts.none}</p>
      <p>{narrowed ? texts.noMatchText : texts.noneText}</p>
      {narrowed
        ? <a class="button" href="/tickets">{texts.clear}</a>
        : <a class="button primary" href="/tickets/new">{texts.new}</a>}
    </div>
  );
}

interface HeadProps {
  view: View;
  edges: readonly Edge<Row>[];
  selected: Signal<Selection>;
}

function Head({ view, edges, selected }: HeadProps) {
  const some = selected.value.size > 0;
  const every = some && edges.every(({ node }) => selected.value.has(node.id));
  return (
    <thead role="rowgroup">
      <tr role="row" aria-rowindex={1}>
        <th role="columnheader" scope="col" class="cell-select">
          <label>
            <input
              type="checkbox"
              aria-label={texts.selectAll}
              checked={every}
              indeterminate={some && !every}
              onChange={() =>
                selected.value = every ? new Map() : new Map(edges.map(({ node }) => [node.id, node.reference]))}
            />
          </label>
        </th>
        {Object.entries(texts.columns).map(([column, name]) => (
          <ColumnHead key={column} view={view} column={column} name={name} />
        ))}
      </tr>
    </thead>
  );
}

function ColumnHead({ view, column, name }: { view: View; column: string; name: string }) {
  const sort: Sort | undefined = SORTS.find((one) => one === column);
  if (sort === undefined) return <th role="columnheader" scope="col" class={`cell-${column}`}>{name}</th>;
  const order = view.sort === sort ? (view.ascending ? "ascending" : "descending") : "none";
  return (
    <th role="columnheader" scope="col" class={`cell-${column}`} aria-sort={order}>
      <a href={addressOf(sortedBy(view, sort))}>
        {name} <span aria-hidden="true">{{ none: "", ascending: "▲", descending: "▼" }[order]}</span>
      </a>
    </th>
  );
}

interface TicketRowProps {
  index: number;
  ticket: Row;
  present: readonly Present[];
  hasLeft: boolean;
  isSelected: boolean;
  select: (id: string, chosen: boolean, range: boolean) => void;
}

/** A row, which is rendered again only if something of it has changed: while somebody scrolls, the others have not. */
class TicketRow extends Component<TicketRowProps> {
  override shouldComponentUpdate(next: TicketRowProps): boolean {
    const names = Object.keys(next) as (keyof TicketRowProps)[];
    return names.some((name) => next[name] !== this.props[name]);
  }

  override render({ index, ticket, present, hasLeft, isSelected, select }: TicketRowProps) {
    return (
      <tr role="row" aria-rowindex={index + 2} data-id={ticket.id} data-left={hasLeft} data-selected={isSelected}>
        <td role="cell" class="cell-select">
          <label>
            <input
              type="checkbox"
              aria-label={texts.select(ticket.reference)}
              checked={isSelected}
              onClick={(event) => select(ticket.id, event.currentTarget.checked, event.shiftKey)}
            />
          </label>
        </td>
        <td role="cell" class="cell-REFERENCE">{ticket.reference}</td>
        <td role="cell" class="cell-subject">
          <a class="row-link" href={`/tickets/${ticket.reference}`} title={ticket.subject}>
            <bdi>{ticket.subject}</bdi>
          </a>
          {hasLeft && <span class="left">{texts.left}</span>}
          <Presence present={present} />
        </td>
        <td role="cell" class="cell-customer">
          <bdi>{ticket.customer?.name ?? ticket.contact.name}</bdi>
        </td>
        <td role="cell" class="cell-address" title={ticket.property?.address}>
          <bdi>{ticket.property?.address}</bdi>
        </td>
        <td role="cell" class="cell-PRIORITY">
          <PriorityBadge priority={ticket.priority} />
        </td>
        <td role="cell" class="cell-STATUS">
          <StatusBadge status={ticket.status} />
        </td>
        <td role="cell" class="cell-assignee">
          <bdi>{ticket.technician?.name ?? ticketWords.unassigned}</bdi>
        </td>
        <td role="cell" class="cell-CREATED_AT">
          <Time at={ticket.createdAt} />
        </td>
      </tr>
    );
  }
}

function Presence({ present }: { present: readonly Present[] }) {
  if (present.length === 0) return null;
  const editing = present.filter(({ state }) => state === "EDITING");
  const names = (people: typeof present) => people.map(({ viewer }) => viewer.name).join(", ");
  const text = editing.length > 0 ? texts.editing(names(editing)) : texts.looking(names(present));
  return <span class="present" data-editing={editing.length > 0} title={text}>{text}</span>;
}

type Body = { current: HTMLTableSectionElement | null };
type Edges = { readonly value: readonly Edge<Row>[] };

/** Holds the rows while somebody points at them, has the focus in them, selects some, or has scrolled. */
function useHolding(body: Body, store: TicketListStore, selecting: boolean): void {
  useLayoutEffect(() => {
    const update = () => {
      const element = body.current;
      const isAtRows = element !== null && (element.matches(":hover") || element.contains(document.activeElement));
      store.isHeld.value = selecting || isAtRows || scrollY > 0;
    };
    // The browser has moved the focus and the pointer only after the event.
    const soon = () => setTimeout(update);
    const events = ["pointerover", "pointerout", "focusin", "focusout", "scroll"] as const;
    events.forEach((name) => document.addEventListener(name, soon, { passive: true }));
    update();
    return () => events.forEach((name) => document.removeEventListener(name, soon));
  }, [store, selecting]);
}

/** Reads the next page when the last rows come near, and follows the tickets in sight. */
function useFurther(store: TicketListStore, shown: Signal<Visible>, edges: Edges): void {
  const { from, to } = shown.value;
  const count = edges.value.length;
  useEffect(() => {
    if (scrollY > 0 && to + AHEAD > count) void store.readFurther();
  }, [store, to, count]);
  useEffect(() => {
    const inSight = () => store.follow(edges.value.slice(from, to).map(({ node }) => node.id));
    const timer = setTimeout(inSight, SETTLED_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [store, from, to, count]);
}

interface Moving {
  /** The ticket that the keys are about: the one that has the focus, or had it last. */
  current: () => Row | undefined;
  by: (rows: number) => void;
}

/** Moves the focus from row to row, also to those that are not in the document yet. */
function useMoving(body: Body, edges: Edges, shown: Signal<Visible>): Moving {
  const last = useRef<string | null>(null);
  return useMemo(() => {
    const focused = () => document.activeElement?.closest("tr")?.dataset.id ?? last.current;
    const indexOf = (id: string | null) => edges.value.findIndex(({ node }) => node.id === id);
    const focus = (id: string) => {
      last.current = id;
      const row = body.current?.querySelector(`tr[data-id="${CSS.escape(id)}"]`);
      row?.querySelector<HTMLElement>(".row-link")?.focus({ preventScroll: true });
    };
    const by = (rows: number) => {
      const index = Math.max(0, Math.min(edges.value.length - 1, indexOf(focused()) + rows));
      const target = edges.value[index];
      if (target === undefined || body.current === null) return;
      const { height } = shown.value;
      const top = body.current.getBoundingClientRect().top + index * height;
      if (top < height) scrollBy(0, top - 2 * height);
      else if (top + 2 * height > innerHeight) scrollBy(0, top + 2 * height - innerHeight);
      requestAnimationFrame(() => requestAnimationFrame(() => focus(target.node.id)));
    };
    return { by, current: () => edges.value[indexOf(focused())]?.node };
  }, []);
}

/** Selects a ticket, or all from the last one to it. */
function useSelecting(edges: Edges, selected: Signal<Selection>) {
  const last = useRef<string | null>(null);
  return useMemo(() => (id: string, chosen: boolean, range: boolean) => {
    const nodes = edges.value.map(({ node }) => node);
    const from = range && last.current !== null ? nodes.findIndex((node) => node.id === last.current) : -1;
    const to = nodes.findIndex((node) => node.id === id);
    const meant = nodes.slice(from < 0 ? to : Math.min(from, to), Math.max(from, to) + 1);
    const next = new Map(selected.value);
    meant.forEach((node) => chosen ? next.set(node.id, node.reference) : next.delete(node.id));
    selected.value = next;
    last.current = id;
  }, []);
}

interface Shortcuts {
  body: Body;
  store: TicketListStore;
  selected: Signal<Selection>;
  moving: Moving;
  select: (id: string, chosen: boolean, range: boolean) => void;
}

function useListShortcuts({ body, store, selected, moving, select }: Shortcuts): void {
  const { route } = useLocation();
  const keys = useMemo<Shortcut[]>(() => {
    const atCurrent = (act: (ticket: Row) => void) => () => {
      const ticket = moving.current();
      if (ticket !== undefined) act(ticket);
    };
    const toggle = (range: boolean) => atCurrent(({ id }) => select(id, range || !selected.value.has(id), range));
    const quickly = (change: Change) => atCurrent((ticket) => void changeQuickly(ticket, change, store));
    const edit = () => {
      const ticket = moving.current();
      if (selected.value.size === 0 && ticket !== undefined) select(ticket.id, true, false);
      setTimeout(() => document.querySelector<HTMLElement>(".bulk select")?.focus());
    };
    const leave = () => {
      selected.value = new Map();
      if (body.current?.contains(document.activeElement)) (document.activeElement as HTMLElement).blur();
    };
    return [
      { keys: "j", text: texts.keys.next, run: () => moving.by(1) },
      { keys: "k", text: texts.keys.previous, run: () => moving.by(-1) },
      { keys: "o", text: texts.keys.open, run: atCurrent(({ reference }) => route(`/tickets/${reference}`)) },
      { keys: "x", text: texts.keys.select, run: toggle(false) },
      { keys: "X", text: texts.keys.selectTo, run: toggle(true) },
      { keys: "e", text: texts.keys.edit, run: edit },
      { keys: "i", text: texts.keys.begin, run: quickly({ status: "IN_PROGRESS" }) },
      ...PRIORITIES.map((priority, index) => ({
        keys: String(index + 1),
        text: texts.keys.priority(ticketWords.priority[priority]),
        run: quickly({ priority }),
      })),
      { keys: "c", text: texts.new, run: () => route("/tickets/new") },
      { keys: "Escape", text: texts.keys.leave, run: leave },
    ];
  }, []);
  useShortcuts(keys);
}
