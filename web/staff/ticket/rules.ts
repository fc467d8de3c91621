/** What the page of a ticket decides by itself, without a server or a screen. */

/** What the dropdowns of a ticket change. `technician` is an id, or the empty string for nobody. */
export interface Values {
  status: string;
  priority: string;
  category: string;
  technician: string;
}
export type FieldName = keyof Values;

/** The name that a field has in `TicketChange.changedFields`. */
export const FIELD_NAMES: FieldName[] = ["status", "priority", "category", "technician"];

/** What to do with a change that was refused because the ticket has another version by now.
 *
 * - `DONE`: the ticket has the wanted value already.
 * - `RETRY`: others have changed something else, so the change can be based on the new version.
 * - `CONFLICT`: others have changed the same field. */
export function afterStale(base: string, wanted: string, current: string): "DONE" | "RETRY" | "CONFLICT" {
  if (current === wanted) return "DONE";
  return current === base ? "RETRY" : "CONFLICT";
}

/** The newer of two states of a ticket. An event that was on its way may be older than an answer. */
export function newer<Ticket extends { version: number }>(shown: Ticket, arrived: Ticket): Ticket {
  return arrived.version >= shown.version ? arrived : shown;
}

/** The list with the item added at its end, or in the place of the one that has its id. */
export function upserted<Item extends { id: string }>(items: readonly Item[], item: Item): Item[] {
  const at = items.findIndex(({ id }) => id === item.id);
  return at === -1 ? [...items, item] : items.with(at, item);
}

/** The items of both lists, each once and as the second has it, in the order of their times. */
export function merged<Item extends { id: string }>(
  known: readonly Item[],
  read: readonly Item[],
  at: (item: Item) => string,
): Item[] {
  const all = [...new Map([...known, ...read].map((item) => [item.id, item])).values()];
  return all.sort((one, other) => compare(at(one), at(other)) || compare(one.id, other.id));
}

const FILE_STATES = ["UPLOADING", "SCANNING", "READY", "REJECTED", "ERASED"];

/** The files as they were read. An event may have come meanwhile that says more of a file than what was read. */
export function filesOf<File extends { id: string; state: string }>(
  known: readonly File[],
  read: readonly File[],
): File[] {
  return read.map((file) => {
    const other = known.find(({ id }) => id === file.id);
    const newer = other !== undefined && FILE_STATES.indexOf(other.state) > FILE_STATES.indexOf(file.state);
    return newer ? other : file;
  });
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** The statuses of the dropdown: the ticket's own, and those that it may get, in the order of a ticket's life. */
export function statusesOf<Status extends string>(all: readonly Status[], current: Status, allowed: readonly Status[]) {
  return all.filter((status) => status === current || allowed.includes(status));
}

export type Present = { state: "VIEWING" | "EDITING"; viewer: { id: string; name: string } };

/** The others who are on the ticket, those who edit first. */
export function others(present: readonly Present[], me: string | null): Present[] {
  const found = present.filter(({ viewer }) => viewer.id !== me);
  return found.sort((one, other) => Number(other.state === "EDITING") - Number(one.state === "EDITING"));
}

const UNITS = ["B", "KB", "MB", "GB"] as const;

/** A size in bytes as people read it, such as `2.4 MB`. */
export function sizeOf(bytes: number, locale: string): string {
  let [size, unit] = [bytes, 0];
  for (; size >= 1_000 && unit < UNITS.length - 1; unit++) size /= 1_000;
  const digits = unit === 0 || size >= 10 ? 0 : 1;
  return `${new Intl.NumberFormat(locale, { maximumFractionDigits: digits }).format(size)} ${UNITS[unit]}`;
}

/** Whether a browser shows the file as a picture. */
export function isPicture(contentType: string): boolean {
  return /^image\/(jpeg|png|gif|webp|avif)$/.test(contentType);
}
