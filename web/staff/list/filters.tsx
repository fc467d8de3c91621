/** The tabs, the search and the filters. Each leads to an address. */

import { useSignal } from "@preact/signals";
import { useMemo, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { staffList as texts } from "../../texts/staff_list.ts";
import { ticketWords } from "../../texts/ticket_words.ts";
import { numberOf } from "../../texts/language.ts";
import { Choice } from "../records/filters.tsx";
import { type Shortcut, useShortcuts } from "../shell/keys.ts";
import type { Counts } from "./store.ts";
import { technicians } from "./technicians.ts";
import {
  addressOf,
  CATEGORIES,
  isFiltered,
  PRIORITIES,
  type Tab,
  TABS,
  UNASSIGNED,
  unfiltered,
  type View,
} from "./view.ts";

const NUMBERS = {
  ALL: "all",
  OPEN: "open",
  IN_PROGRESS: "inProgress",
  RESOLVED: "resolved",
  CLOSED: "closed",
} as const satisfies Record<Tab, keyof Counts>;

export function TabBar({ view, counts }: { view: View; counts: Counts | null }) {
  return (
    <nav class="tabs" aria-label={texts.tabsLabel}>
      {TABS.map((tab) => (
        <a key={tab} href={addressOf({ ...view, tab })} aria-current={tab === view.tab ? "page" : undefined}>
          {texts.tabs[tab]} <span class="count">{counts === null ? "" : numberOf(counts[NUMBERS[tab]])}</span>
        </a>
      ))}
    </nav>
  );
}

export function Filters({ view }: { view: View }) {
  const { route } = useLocation();
  const input = useRef<HTMLInputElement>(null);
  const typed = useSignal(view.search);
  const keys = useMemo<Shortcut[]>(
    () => [{ keys: "/", text: texts.search, run: () => input.current?.select() }],
    [],
  );
  useShortcuts(keys);
  const show = (change: Partial<View>) => route(addressOf({ ...view, search: typed.value.trim(), ...change }));
  return (
    <form
      class="filters"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        show({});
      }}
    >
      <div class="search">
        <input
          aria-label={texts.search}
          ref={input}
          type="search"
          enterkeyhint="search"
          maxLength={200}
          placeholder={texts.searchHint}
          value={typed}
          onInput={(event) => typed.value = event.currentTarget.value}
        />
        <button type="submit" class="search-now" aria-label={texts.searchNow}>
          <svg viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" aria-hidden="true">
            <circle cx="7" cy="7" r="4.5" stroke-width="1.6" />
            <path d="M10.5 10.5 14 14" stroke-width="1.6" stroke-linecap="round" />
          </svg>
        </button>
      </div>
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
        options={assignees(view.assignee)}
        choose={(value) => show({ assignee: value })}
      />
      {isFiltered(view) && <a class="button" href={addressOf(unfiltered(view))}>{texts.clear}</a>}
    </form>
  );
}

/** Unassigned, the active technicians, the inactive ones, and the chosen one although it may not be known yet. */
function assignees(chosen: string | null): (readonly [string, string])[] {
  const known = [...technicians.value].sort((one, other) => Number(other.active) - Number(one.active));
  const options = known.map(({ id, name, active }) => [id, active ? name : texts.inactive(name)] as const);
  const isKnown = chosen === null || chosen === UNASSIGNED || known.some(({ id }) => id === chosen);
  return [[UNASSIGNED, ticketWords.unassigned], ...options, ...(isKnown ? [] : [[chosen, texts.someone] as const])];
}
