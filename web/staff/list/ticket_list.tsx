/** The list of tickets, which keeps itself up to date. What it shows is in its address. */

import "./list.css";
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { connected, execute } from "../../shared/client.ts";
import { PriorityBadge, StatusBadge } from "../../shared/badges.tsx";
import { Time } from "../../shared/time.tsx";
import { staffList as texts } from "../../texts/staff_list.ts";
import { ticketWords } from "../../texts/ticket_words.ts";
import { TicketListTechnicians } from "../operations.ts";
import { type Shortcut, useShortcuts } from "../shell/keys.ts";
import { Page } from "../shell/page.tsx";
import { BulkBar } from "./bulk.tsx";
import { type Row, TicketListStore } from "./store.ts";
import {
  addressOf,
  CATEGORIES,
  isFiltered,
  PRIORITIES,
  type Sort,
  sortedBy,
  SORTS,
  TABS,
  UNASSIGNED,
  type View,
  viewIn,
} from "./view.ts";

export interface Technician {
  id: string;
  name: string;
}

export function TicketList() {
  const { query, route } = useLocation();
  const address = addressOf(viewIn(query));
  const view = useMemo(() => viewIn(query), [address]);
  const store = useMemo(() => new TicketListStore(view), [address]);
  useEffect(() => () => store.close(), [store]);
  const technicians = useTechnicians();
  const show = (change: Partial<View>) => route(addressOf({ ...view, ...change }));
  const action = <a class="button primary" href="/tickets/new">{texts.new}</a>;
  return (
    <Page title={texts.title} action={action} wide>
      {!connected.value && <p class="notice" role="status">{texts.unreachable}</p>}
      <TabBar view={view} store={store} />
      <Filters key={view.search} view={view} technicians={technicians} show={show} />
      <Rows key={address} view={view} store={store} technicians={technicians} />
    </Page>
  );
}

function useTechnicians(): readonly Technician[] {
  const found = useSignal<readonly Technician[]>([]);
  useEffect(() => {
    execute(TicketListTechnicians, {}).then(({ technicians }) => found.value = technicians.nodes, () => {});
  }, []);
  return found.value;
}

function TabBar({ view, store }: { view: View; store: TicketListStore }) {
  const counts = store.counts.value;
  const number = {
    ALL: "all",
    OPEN: "open",
    IN_PROGRESS: "inProgress",
    RESOLVED: "resolved",
    CLOSED: "closed",
  } as const;
  return (
    <nav class="tabs" aria-label={texts.tabsLabel}>
      {TABS.map((tab) => (
        <a key={tab} href={addressOf({ ...view, tab })} aria-current={tab === view.tab ? "page" : undefined}>
          {texts.tabs[tab]} <span class="count">{counts?.[number[tab]] ?? ""}</span>
        </a>
      ))}
    </nav>
  );
}

interface FiltersProps {
  view: View;
  technicians: readonly Technician[];
  show: (change: Partial<View>) => void;
}

function Filters({ view, technicians, show }: FiltersProps) {
  const input = useRef<HTMLInputElement>(null);
  const typed = useSignal(view.search);
  const keys = useMemo<Shortcut[]>(
    () => [{ keys: "/", text: texts.search, run: () => input.current?.select() }],
    [],
  );
  useShortcuts(keys);
  return (
    <form
      class="filters"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        show({ search: typed.value.trim() });
      }}
    >
      <label class="search">
        <span class="visually-hidden">{texts.search}</span>
        <input
          ref={input}
          type="search"
          maxLength={200}
          placeholder={texts.searchHint}
          value={typed}
          onInput={(event) => typed.value = event.currentTarget.value}
        />
      </label>
      <button type="submit" class="button" aria-label={texts.searchNow}>⌕</button>
      <Choice
        label={texts.priority}
        all={texts.allPriorities}
        value={view.priority}
        options={PRIORITIES.map((value) => [value, ticketWords.priority[value]])}
        choose={(value) => show({ priority: value as View["priority"] })}
      />
      <Choice
        label={texts.category}
        all={texts.allCategories}
        value={view.category}
        options={CATEGORIES.map((value) => [value, ticketWords.category[value]])}
        choose={(value) => show({ category: value as View["category"] })}
      />
      <Choice
        label={texts.assignee}
        all={texts.allTechnicians}
        value={view.assignee}
        options={[[UNASSIGNED, ticketWords.unassigned], ...technicians.map(({ id, name }) => [id, name] as const)]}
        choose={(value) => show({ assignee: value })}
      />
      {isFiltered(view) && (
        <a
          class="button"
          href={addressOf({ ...viewIn({}), tab: view.tab, sort: view.sort, ascending: view.ascending })}
        >
          {texts.clear}
        </a>
      )}
    </form>
  );
}

interface ChoiceProps {
  label: string;
  all: string;
  value: string | null;
  options: readonly (readonly [string, string])[];
  choose: (value: string | null) => void;
}

function Choice({ label, all, value, options, choose }: ChoiceProps) {
  return (
    <select
      aria-label={label}
      value={value ?? ""}
      data-chosen={value !== null}
      onChange={(event) => choose(event.currentTarget.value || null)}
    >
      <option value="">{all}</option>
      {options.map(([key, name]) => <option key={key} value={key}>{name}</option>)}
    </select>
  );
}

interface RowsProps {
  view: View;
  store: TicketListStore;
  technicians: readonly Technician[];
}

function Rows({ view, store, technicians }: RowsProps) {
  const { route } = useLocation();
  const table = useRef<HTMLTableElement>(null);
  const selected = useSignal<ReadonlySet<string>>(new Set());
  const said = useSignal("");
  const last = useRef<string | null>(null);
  const rows = store.rows.value;
  useHolding(table, store, selected.value.size > 0);
  useFurther(table, store);
  const keys = useMemo(() => moving(table, route), []);
  useShortcuts(keys);
  const ids = useComputed(() => store.rows.value?.edges.map(({ node }) => node.id) ?? []);

  function select(id: string, chosen: boolean, range: boolean) {
    const from = range && last.current !== null ? ids.value.indexOf(last.current) : -1;
    const to = ids.value.indexOf(id);
    const meant = from < 0 ? [id] : ids.value.slice(Math.min(from, to), Math.max(from, to) + 1);
    const next = new Set(selected.value);
    meant.forEach((one) => chosen ? next.add(one) : next.delete(one));
    selected.value = next;
    said.value = "";
    last.current = id;
  }

  if (rows === null) {
    return store.failed.value === null ? <div class="skeleton" aria-hidden="true" /> : (
      <div class="empty">
        <p class="empty-title">{texts.failed}</p>
        <p>{store.failed}</p>
        <button type="button" class="button" onClick={() => location.reload()}>{texts.again}</button>
      </div>
    );
  }
  if (rows.edges.length === 0) return <Nothing view={view} />;
  return (
    <>
      <div class="list-head">
        <p aria-live="polite">{store.total.value === null ? "" : texts.total(store.total.value)}</p>
        {rows.waiting > 0 && (
          <button
            type="button"
            class="button waiting"
            onClick={() => {
              store.showWaiting();
              scrollTo({ top: 0 });
            }}
          >
            {texts.showWaiting(rows.waiting)}
          </button>
        )}
        <p role="status">{said}</p>
        <p class="visually-hidden" role="status">{rows.waiting > 0 ? texts.waiting(rows.waiting) : ""}</p>
      </div>
      {selected.value.size > 0 && (
        <BulkBar
          ids={[...selected.value]}
          technicians={technicians}
          done={(failed, text) => {
            selected.value = new Set(failed);
            said.value = text;
          }}
          clear={() => selected.value = new Set()}
        />
      )}
      <table ref={table} class="tickets" role="table" aria-rowcount={store.total.value ?? -1}>
        <Head view={view} all={ids.value} selected={selected.value} select={(chosen) => selected.value = chosen} />
        <tbody role="rowgroup">
          {rows.edges.map(({ node }) => (
            <TicketRow
              key={node.id}
              ticket={node}
              store={store}
              left={rows.left.has(node.id)}
              selected={selected.value.has(node.id)}
              select={select}
            />
          ))}
        </tbody>
      </table>
      {store.loadingFurther.value && <p class="hint" role="status">{texts.more}</p>}
      {store.failed.value !== null && <p class="error" role="alert">{store.failed}</p>}
    </>
  );
}

interface HeadProps {
  view: View;
  all: readonly string[];
  selected: ReadonlySet<string>;
  select: (chosen: ReadonlySet<string>) => void;
}

function Head({ view, all, selected, select }: HeadProps) {
  const every = all.length > 0 && all.every((id) => selected.has(id));
  return (
    <thead role="rowgroup">
      <tr role="row">
        <th role="columnheader" class="cell-select">
          <input
            type="checkbox"
            aria-label={texts.selectAll}
            checked={every}
            onChange={() => select(new Set(every ? [] : all.slice(0, 100)))}
          />
        </th>
        {Object.entries(texts.columns).map(([column, name]) => (
          <ColumnHead key={column} view={view} column={column} name={name} />
        ))}
      </tr>
    </thead>
  );
}

function ColumnHead({ view, column, name }: { view: View; column: string; name: string }) {
  const sort = SORTS.find((one) => one === column) as Sort | undefined;
  if (sort === undefined) return <th role="columnheader" class={`cell-${column}`}>{name}</th>;
  const order = view.sort === sort ? (view.ascending ? "ascending" : "descending") : undefined;
  return (
    <th role="columnheader" class={`cell-${column}`} aria-sort={order}>
      <a href={addressOf(sortedBy(view, sort))}>
        {name} <span aria-hidden="true">{order === undefined ? "" : order === "ascending" ? "▲" : "▼"}</span>
      </a>
    </th>
  );
}

interface TicketRowProps {
  ticket: Row;
  store: TicketListStore;
  left: boolean;
  selected: boolean;
  select: (id: string, chosen: boolean, range: boolean) => void;
}

function TicketRow({ ticket, store, left, selected, select }: TicketRowProps) {
  const present = store.present.value.get(ticket.id) ?? [];
  return (
    <tr role="row" data-left={left} data-selected={selected} aria-selected={selected}>
      <td role="cell" class="cell-select">
        <input
          type="checkbox"
          aria-label={texts.select(ticket.reference)}
          checked={selected}
          onClick={(event) => select(ticket.id, event.currentTarget.checked, event.shiftKey)}
        />
      </td>
      <td role="cell" class="cell-REFERENCE">{ticket.reference}</td>
      <td role="cell" class="cell-subject">
        <a class="row-link" href={`/tickets/${ticket.reference}`}>{ticket.subject}</a>
        {left && <span class="hint">{texts.left}</span>}
        <Presence present={present} />
      </td>
      <td role="cell" class="cell-customer">{ticket.customer?.name ?? ticket.contact.name}</td>
      <td role="cell" class="cell-address">{ticket.property?.address}</td>
      <td role="cell" class="cell-PRIORITY">
        <PriorityBadge priority={ticket.priority} />
      </td>
      <td role="cell" class="cell-STATUS">
        <StatusBadge status={ticket.status} />
      </td>
      <td role="cell" class="cell-assignee">{ticket.technician?.name ?? ticketWords.unassigned}</td>
      <td role="cell" class="cell-CREATED_AT">
        <Time at={ticket.createdAt} />
      </td>
    </tr>
  );
}

function Presence({ present }: { present: readonly { state: "VIEWING" | "EDITING"; viewer: { name: string } }[] }) {
  if (present.length === 0) return null;
  const editing = present.filter(({ state }) => state === "EDITING");
  const names = (people: typeof present) => people.map(({ viewer }) => viewer.name).join(", ");
  const text = editing.length > 0 ? texts.editing(names(editing)) : texts.looking(names(present));
  return <span class="present" data-editing={editing.length > 0} title={text}>{text}</span>;
}

function Nothing({ view }: { view: View }) {
  const filtered = isFiltered(view) || view.tab !== "ALL";
  return (
    <div class="empty">
      <p class="empty-title">{filtered ? texts.noMatch : texts.none}</p>
      <p>{filtered ? texts.noMatchText : texts.noneText}</p>
      {filtered
        ? <a class="button" href="/tickets">{texts.clear}</a>
        : <a class="button primary" href="/tickets/new">{texts.new}</a>}
    </div>
  );
}

/** Holds the rows while somebody points at them, has the focus in them, selects some, or has scrolled. */
function useHolding(table: { current: HTMLTableElement | null }, store: TicketListStore, selecting: boolean): void {
  useEffect(() => {
    const update = () => {
      const element = table.current;
      const busy = element !== null &&
        (element.querySelector("tbody:hover") !== null || element.contains(document.activeElement));
      store.held.value = selecting || busy || scrollY > 0;
    };
    const events = ["pointerover", "pointerout", "focusin", "focusout", "scroll"] as const;
    // The browser has moved the focus and the pointer only after the event.
    const soon = () => setTimeout(update);
    events.forEach((name) => document.addEventListener(name, soon, { passive: true }));
    update();
    return () => events.forEach((name) => document.removeEventListener(name, soon));
  }, [store, selecting]);
}

/** Reads the next page when the end of the table comes near. */
function useFurther(table: { current: HTMLTableElement | null }, store: TicketListStore): void {
  useEffect(() => {
    const look = () => {
      const element = table.current;
      if (element !== null && element.getBoundingClientRect().bottom < innerHeight * 2) void store.readFurther();
    };
    document.addEventListener("scroll", look, { passive: true });
    return () => document.removeEventListener("scroll", look);
  }, [store]);
}

function moving(table: { current: HTMLTableElement | null }, route: (address: string) => void): Shortcut[] {
  const links = () => [...table.current?.querySelectorAll<HTMLAnchorElement>(".row-link") ?? []];
  const row = () => document.activeElement?.closest("tr");
  const move = (by: number) => {
    const all = links();
    const now = all.findIndex((link) => link.closest("tr") === row());
    all[Math.max(0, Math.min(all.length - 1, now + by))]?.focus();
  };
  const checkbox = () => row()?.querySelector<HTMLInputElement>("input[type=checkbox]")?.click();
  return [
    { keys: "j", text: texts.keys.next, run: () => move(1) },
    { keys: "k", text: texts.keys.previous, run: () => move(-1) },
    { keys: "o", text: texts.keys.open, run: () => row()?.querySelector<HTMLAnchorElement>(".row-link")?.click() },
    { keys: "x", text: texts.keys.select, run: checkbox },
    { keys: "c", text: texts.new, run: () => route("/tickets/new") },
  ];
}
