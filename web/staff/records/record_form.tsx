/** A form for what an object has: its fields, what the server objects to beside each, and a draft until it is saved. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type Control as ControlAttributes, Field, type Option, Options, useErrorFocus } from "../../design/field.tsx";
import { type Draft, unstoredDraft, useDraft } from "../../shared/drafts.ts";
import { errorsByField, type FieldErrors, type UserError } from "../../shared/field_errors.ts";
import { persistently } from "../../shared/saving.ts";
import { records as texts } from "../../texts/records.ts";
import { differing, merged, type Typed } from "./merging.ts";
import { overtaken } from "./overtaken.ts";
import { type Suggest, Suggestions } from "./suggestions.tsx";

/** A field: `name` is that of the input's field. */
export interface FieldOf<Values> {
  name: keyof Values & string;
  label: string;
  kind?: "line" | "text" | "check" | "choice" | "day";
  hint?: string;
  /** What can be chosen, for a `choice`. */
  options?: readonly Option[];
  /** Finds what may be meant by the words in a line. */
  suggest?: Suggest;
}

export interface Saved {
  userErrors: readonly UserError[];
}

interface RecordFormProps<Values> {
  /** Names the draft. */
  name: string;
  initial: Values;
  fields: readonly FieldOf<Values>[];
  button: string;
  /** Sends the values with the key of the request. `changes` has only those that the person has changed, so that a
   * colleague's change of another one stays. */
  save: (values: Values, key: string, changes: Partial<Values>) => Promise<Saved>;
  saved: () => void;
  /** Whether what is typed is a secret, which the browser must not store. */
  secret?: boolean;
  /** Draws the form's controls, in place of one for each field. */
  body?: (values: Values, change: (name: keyof Values & string, value: unknown) => void) => ComponentChildren;
  /** What has become of it, such as that it was saved before the form was made anew. */
  note?: string;
}

export function RecordForm<Values extends object>(props: RecordFormProps<Values>) {
  // While the person has changed nothing, the form follows the object.
  const initial = useSignal(props.initial);
  const follow = () => initial.value = props.initial;
  const Form = props.secret ? SecretForm<Values> : DraftForm<Values>;
  return <Form {...props} key={textOf(initial.value)} initial={initial.value} now={props.initial} follow={follow} />;
}

interface DraftFormProps<Values> extends RecordFormProps<Values> {
  /** What the object has now. */
  now: Values;
  /** Makes the form anew, with what the object has now. */
  follow: () => void;
}

function DraftForm<Values extends object>(props: DraftFormProps<Values>) {
  const draft = useDraft<Typed<Values>>(props.name, { values: props.initial, initial: props.initial });
  return draft === null ? null : <OpenForm {...props} draft={draft} />;
}

function SecretForm<Values extends object>(props: DraftFormProps<Values>) {
  const [draft] = useState(() => unstoredDraft<Typed<Values>>({ values: props.initial, initial: props.initial }));
  return <OpenForm {...props} draft={draft} />;
}

function OpenForm<Values extends object>(
  { draft, fields, button, save, saved, secret, body, note = "", now, follow }: DraftFormProps<Values> & {
    draft: Draft<Typed<Values>>;
  },
) {
  const errors = useSignal<FieldErrors>({});
  const busy = useSignal(false);
  const changed = useSignal(false);
  const theirs = useSignal<FieldErrors>({});
  const { values, initial } = draft.value.value;
  const form = useRef<HTMLFormElement>(null);
  useErrorFocus(form, errors.value);
  useEffect(() => {
    const typed = draft.value.peek();
    if (textOf(typed.initial) === textOf(now)) return;
    if (textOf(typed.values) === textOf(typed.initial)) return follow();
    const found = overtaken(typed.values, typed.initial, now);
    theirs.value = Object.fromEntries(found.map((name) => [name, texts.theirs(inWords(now[name]))]));
    draft.change(merged(typed, now));
  }, [textOf(now), textOf(initial)]);

  async function send(event: Event) {
    event.preventDefault();
    if (busy.value) return;
    busy.value = true;
    try {
      const { userErrors } = await persistently(() => save(values, draft.key, differing(values, initial)));
      errors.value = errorsByField(userErrors, fields.map(({ name }) => name));
      if (userErrors.length === 0) {
        draft.discard();
        changed.value = false;
        saved();
      }
    } catch (error) {
      errors.value = { "": (error as Error).message };
    } finally {
      busy.value = false;
    }
  }

  const change = (name: keyof Values, value: unknown) => {
    changed.value = true;
    draft.change({ values: { ...values, [name]: value }, initial });
  };
  return (
    <form ref={form} class="form" onSubmit={send} noValidate autocomplete={secret ? "off" : undefined}>
      {body !== undefined ? body(values, change) : fields.map((field) => (
        <Control
          key={field.name}
          field={field}
          value={values[field.name]}
          error={errors.value[field.name] ?? theirs.value[field.name]}
          change={(value) => change(field.name, value)}
        />
      ))}
      {errors.value[""] && <p class="error" role="alert">{errors.value[""]}</p>}
      <p class="actions">
        <button type="submit" class="button primary" disabled={busy.value}>{button}</button>
        <span role="status">{changed.value ? "" : note}</span>
      </p>
      <p class="visually-hidden" role="status">{Object.values(theirs.value).join(" ")}</p>
    </form>
  );
}

interface ControlProps {
  field: Omit<FieldOf<object>, "name">;
  value: unknown;
  error: string | undefined;
  change: (value: unknown) => void;
}

function Control({ field, value, error, change }: ControlProps) {
  if (field.kind === "check") {
    return (
      <label class={error ? "check field-wrong" : "check"}>
        <input
          type="checkbox"
          checked={value as boolean}
          onChange={(event) => change(event.currentTarget.checked)}
        />
        {field.label}
        {error && <span class="error" role="alert">{error}</span>}
      </label>
    );
  }
  return (
    <Field label={field.label} hint={field.hint} error={error}>
      {(control) => <Input field={field} control={control} value={value as string} change={change} />}
    </Field>
  );
}

interface InputProps extends Pick<ControlProps, "field" | "change"> {
  control: ControlAttributes;
  value: string;
}

function Input({ field: { kind, options, suggest }, control, value, change }: InputProps) {
  const given = { ...control, value };
  const typed = (event: { currentTarget: { value: string } }) => change(event.currentTarget.value);
  if (kind === "text") return <textarea {...given} rows={6} onInput={typed} />;
  if (kind === "choice") {
    return (
      <select {...control} onChange={typed}>
        <Options options={options!} value={value} />
      </select>
    );
  }
  if (kind === "day") return <input {...given} type="date" onInput={typed} />;
  if (suggest === undefined) return <input {...given} onInput={typed} />;
  const list = `${control.id}-list`;
  return (
    <>
      <input {...given} list={list} autocomplete="off" onInput={typed} />
      <Suggestions id={list} words={value} suggest={suggest} />
    </>
  );
}

/** The value of a field, for a sentence. */
function inWords(value: unknown): string {
  if (typeof value === "boolean") return value ? texts.on : texts.off;
  return value === "" ? texts.empty : `“${String(value).replaceAll("\n", ", ")}”`;
}

function textOf(values: object): string {
  return JSON.stringify(values);
}
