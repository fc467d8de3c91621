/** Small parts of the pages of a ticket. */

import { useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useId } from "preact/hooks";
import { locale } from "../../texts/language.ts";
import { viewer } from "../viewer.ts";

/** A control with its label, hint and error. `control` gets the attributes that tie them together. */
export function Field({ label, hint, error, required, optional, children }: {
  label: string;
  hint?: string | undefined;
  error?: string | undefined;
  required?: boolean;
  optional?: string;
  children: (control: Control) => ComponentChildren;
}) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  const control = {
    id,
    "aria-describedby": described === "" ? undefined : described,
    "aria-invalid": error ? true : undefined,
    "aria-required": required,
  };
  return (
    <div class={error ? "field field-wrong" : "field"}>
      <label for={id}>{label}</label>
      {optional && <span class="field-optional">{optional}</span>}
      {children(control)}
      {hint && <p class="field-hint" id={`${id}-hint`}>{hint}</p>}
      {error && <p class="field-error" id={`${id}-error`}>{error}</p>}
    </div>
  );
}

export interface Control {
  id: string;
  "aria-describedby": string | undefined;
  "aria-invalid": boolean | undefined;
  "aria-required": boolean | undefined;
}

export type Option = { value: string; label: string };

/** The options of a dropdown. */
export function Options({ options, value }: { options: readonly Option[]; value: string }) {
  return (
    <>
      {options.map((one) => (
        <option key={one.value} value={one.value} selected={one.value === value}>{one.label}</option>
      ))}
    </>
  );
}

/** A time: relative, and exact on hover, in the reader's zone. */
export function Time({ at }: { at: string }) {
  const now = useSignal(Date.now());
  const text = useComputed(() => relative(Date.parse(at), now.value));
  useEffect(() => {
    const timer = setInterval(() => now.value = Date.now(), 30_000);
    return () => clearInterval(timer);
  }, []);
  return <time dateTime={at} title={exact(at)}>{text}</time>;
}

const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60]] as const;
const relativeTimes = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });

function relative(at: number, now: number): string {
  const seconds = Math.round((at - now) / 1_000);
  if (Math.abs(seconds) > 30 * 86_400) return new Intl.DateTimeFormat(locale, { dateStyle: "medium" }).format(at);
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 60];
  return relativeTimes.format(unit === "second" ? 0 : Math.trunc(seconds / size), unit);
}

function exact(at: string): string {
  const zone = viewer.value?.timeZone;
  const format = new Intl.DateTimeFormat(locale, {
    dateStyle: "full",
    timeStyle: "short",
    ...zone && { timeZone: zone },
  });
  return format.format(Date.parse(at));
}
