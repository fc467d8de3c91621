/** Times as people read them: relative, and exact on hover, in their own zone. */

import { computed, signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { locale } from "../texts/language.ts";

const TICK_MILLISECONDS = 30_000;
const DAY = 86_400;
const UNITS = [["hour", 3_600], ["minute", 60]] as const;
const RELATIVE_DAYS = 30;

/** The reader's time zone, a name of the IANA database; the browser's until it is known. */
export const timeZone = signal<string | undefined>(undefined);

const now = signal(Date.now());
if (typeof document !== "undefined") setInterval(() => now.value = Date.now(), TICK_MILLISECONDS);

const relativeTimes = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });

export function Time({ at }: { at: string }) {
  const text = useMemo(() => computed(() => relative(Date.parse(at), now.value)), [at]);
  return <time dateTime={at} title={exact(at)}>{text}</time>;
}

/** “5 minutes ago”; from a day on, so many days of the calendar; after a month, the day. Both times are in milliseconds
 * since 1970. */
export function relative(at: number, now: number): string {
  const seconds = Math.round((at - now) / 1_000);
  if (Math.abs(seconds) > RELATIVE_DAYS * DAY) return format({ dateStyle: "medium" }).format(at);
  const days = Math.abs(seconds) < DAY ? 0 : (Date.parse(dayOf(at)) - Date.parse(dayOf(now))) / (DAY * 1_000);
  if (days !== 0) return relativeTimes.format(days, "day");
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 60];
  return relativeTimes.format(unit === "second" ? 0 : Math.trunc(seconds / size), unit);
}

/** The day of a time for the reader, or in another zone, written “2026-12-01”. */
export function dayOf(at: string | number, zone = timeZone.value): string {
  const form = { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" } as const;
  return new Intl.DateTimeFormat("sv", form).format(new Date(at));
}

/** “Tuesday, December 1, 2026 at 9:41 a.m.” */
export function exact(at: string): string {
  return format({ dateStyle: "full", timeStyle: "short" }).format(Date.parse(at));
}

/** The time at which a day begins for the reader, or in another zone. */
export function startOfDay(day: string, zone = timeZone.value): string {
  const inUtc = Date.parse(`${day}T00:00Z`);
  const form = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" });
  const name = form.formatToParts(inUtc).find(({ type }) => type === "timeZoneName")!.value;
  const offset = name.replace("GMT", ""); // such as “-05:00”
  return new Date(`${day}T00:00${offset || "Z"}`).toISOString();
}

/** The day after. */
export function dayAfter(day: string): string {
  return new Date(Date.parse(`${day}T00:00Z`) + DAY * 1_000).toISOString().slice(0, 10);
}

function format(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(
    locale,
    timeZone.value === undefined ? options : { ...options, timeZone: timeZone.value },
  );
}
