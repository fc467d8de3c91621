/** What the list shows, as its address says: tab, search, filters, order. */

import type {
  TicketCategory,
  TicketFilter,
  TicketOrder,
  TicketOrderField,
  TicketPriority,
  TicketStatus,
} from "../operations.ts";

export const TABS = ["ALL", "OPEN", "IN_PROGRESS", "RESOLVED", "CLOSED"] as const;
export type Tab = typeof TABS[number];

export const STATUSES = ["OPEN", "IN_PROGRESS", "RESOLVED", "CLOSED"] as const satisfies readonly TicketStatus[];
export const PRIORITIES = ["LOW", "MEDIUM", "HIGH", "URGENT"] as const satisfies readonly TicketPriority[];
export const CATEGORIES = [
  "ALARM",
  "CCTV",
  "ACCESS_CONTROL",
  "INTERCOM",
  "GENERAL",
] as const satisfies readonly TicketCategory[];
export const SORTS = ["CREATED_AT", "REFERENCE", "STATUS", "PRIORITY"] as const satisfies readonly TicketOrderField[];
export type Sort = typeof SORTS[number];

/** The assignee that means nobody; any other is a technician's id. */
export const UNASSIGNED = "unassigned";

export interface View {
  tab: Tab;
  search: string;
  priority: TicketPriority | null;
  category: TicketCategory | null;
  assignee: string | null;
  sort: Sort;
  ascending: boolean;
}

/** The view in the query string of an address. What is unknown there is as if it were absent. */
export function viewIn(query: Record<string, string>): View {
  const sort = oneOf(SORTS, query.sort) ?? "CREATED_AT";
  return {
    tab: oneOf(TABS, query.status) ?? "ALL",
    search: (query.q ?? "").trim().slice(0, 200),
    priority: oneOf(PRIORITIES, query.priority),
    category: oneOf(CATEGORIES, query.category),
    assignee: query.assignee || null,
    sort,
    ascending: query.order === undefined ? ascendsAtFirst(sort) : query.order === "asc",
  };
}

/** The address of a view, without what is the default. */
export function addressOf(view: View): string {
  const query = new URLSearchParams();
  if (view.tab !== "ALL") query.set("status", view.tab.toLowerCase());
  if (view.search !== "") query.set("q", view.search);
  if (view.priority !== null) query.set("priority", view.priority.toLowerCase());
  if (view.category !== null) query.set("category", view.category.toLowerCase());
  if (view.assignee !== null) query.set("assignee", view.assignee);
  if (view.sort !== "CREATED_AT") query.set("sort", view.sort.toLowerCase());
  if (view.ascending !== ascendsAtFirst(view.sort)) query.set("order", view.ascending ? "asc" : "desc");
  const text = query.toString();
  return text === "" ? "/tickets" : `/tickets?${text}`;
}

/** The view after a click on a column's header: sorted by it, or the other way round if it is already. */
export function sortedBy(view: View, sort: Sort): View {
  if (view.sort === sort) return { ...view, ascending: !view.ascending };
  return { ...view, sort, ascending: ascendsAtFirst(sort) };
}

/** The filter of a view; `withTab` says whether the tab counts, which it does not for the numbers on the tabs. */
export function filterOf(view: View, withTab: boolean): TicketFilter {
  const filter: TicketFilter = {};
  if (withTab && view.tab !== "ALL") filter.status = [view.tab as TicketStatus];
  if (view.search !== "") filter.search = view.search;
  if (view.priority !== null) filter.priority = [view.priority];
  if (view.category !== null) filter.category = [view.category];
  if (view.assignee === UNASSIGNED) filter.assignee = { unassigned: true };
  else if (view.assignee !== null) filter.assignee = { technicianId: view.assignee };
  return filter;
}

export function orderOf(view: View): TicketOrder[] {
  return [{ field: view.sort, direction: view.ascending ? "ASC" : "DESC" }];
}

/** The view without search and filters, in the same order and on the same tab. */
export function unfiltered(view: View): View {
  return { ...view, search: "", priority: null, category: null, assignee: null };
}

export function isFiltered(view: View): boolean {
  return view.search !== "" || view.priority !== null || view.category !== null || view.assignee !== null;
}

function ascendsAtFirst(sort: Sort): boolean {
  return sort === "REFERENCE" || sort === "STATUS";
}

function oneOf<Value extends string>(values: readonly Value[], given: string | undefined): Value | null {
  return values.find((value) => value === given?.toUpperCase()) ?? null;
}
