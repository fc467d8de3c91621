/** Parts of forms: a labelled control with its hint and error, the options of a dropdown, and the way to what is wrong. */

import type { ComponentChildren } from "preact";
import { useEffect, useId } from "preact/hooks";

/** The attributes that tie a control to its label, hint and error. */
export interface Control {
  id: string;
  "aria-describedby": string | undefined;
  "aria-invalid": true | undefined;
  "aria-required": true | undefined;
}

interface FieldProps {
  label: string;
  hint?: string | undefined;
  error?: string | undefined;
  required?: boolean;
  /** What stands beside the label of a field that may stay empty. */
  optional?: string;
  children: (control: Control) => ComponentChildren;
}

export function Field({ label, hint, error, required, optional, children }: FieldProps) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  const control: Control = {
    id,
    "aria-describedby": described === "" ? undefined : described,
    "aria-invalid": error ? true : undefined,
    "aria-required": required ? true : undefined,
  };
  return (
    <div class={error ? "field field-wrong" : "field"}>
      <label for={id}>{label}</label>
      {optional && <span class="hint optional">{optional}</span>}
      {children(control)}
      {hint && <p class="hint" id={`${id}-hint`}>{hint}</p>}
      {error && <p class="error" id={`${id}-error`}>{error}</p>}
    </div>
  );
}

export interface Option {
  value: string;
  label: string;
}

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

/** Moves the focus to the form's first field with an error, each time that there are other `errors`. */
export function useErrorFocus(form: { readonly current: HTMLElement | null }, errors: unknown): void {
  useEffect(() => {
    form.current?.querySelector<HTMLElement>(".field-wrong :is(input, select, textarea, button)")?.focus();
  }, [errors]);
}
