/** Small parts of the pages of a ticket. */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

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
      {optional && <span class="hint">{optional}</span>}
      {children(control)}
      {hint && <p class="hint" id={`${id}-hint`}>{hint}</p>}
      {error && <p class="error" id={`${id}-error`}>{error}</p>}
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
