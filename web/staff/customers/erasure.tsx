/** Erasing what is on file about a customer, after they have asked for it: it cannot be undone. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { Field, useErrorFocus } from "../../design/field.tsx";
import { execute, newKey } from "../../shared/client.ts";
import { errorsByField } from "../../shared/field_errors.ts";
import { persistently } from "../../shared/saving.ts";
import { records } from "../../texts/records.ts";
import { CustomerEraseData } from "../operations.ts";

const texts = records.erasure;

interface ErasureProps {
  customer: { id: string; accountNumber: string; erasedAt: string | null };
  erased: () => void;
}

/** How far the erasure has come, as far as this page has been told. */
interface Progress {
  done: boolean;
  ticketsLeft: number;
}

export function Erasure({ customer, erased }: ErasureProps) {
  const typed = useSignal("");
  const error = useSignal<string | undefined>(undefined);
  const busy = useSignal(false);
  const progress = useSignal<Progress | null>(null);
  const form = useRef<HTMLFormElement>(null);
  useErrorFocus(form, error.value);

  async function erase() {
    if (busy.value) return;
    busy.value = true;
    error.value = undefined;
    try {
      const input = { customerId: customer.id, idempotencyKey: newKey() };
      const { customerErase } = await persistently(() => execute(CustomerEraseData, { input }));
      const { done, ticketsLeft, userErrors } = customerErase;
      error.value = errorsByField(userErrors, [])[""];
      if (done !== null) progress.value = { done, ticketsLeft: ticketsLeft ?? 0 };
      erased();
    } catch (failure) {
      error.value = (failure as Error).message;
    } finally {
      busy.value = false;
    }
  }

  function confirm(event: Event) {
    event.preventDefault();
    if (isSame(typed.value, customer.accountNumber)) void erase();
    else error.value = texts.different(customer.accountNumber);
  }

  if (customer.erasedAt !== null) {
    return (
      <section class="card" aria-label={texts.title}>
        <p role="status">{progress.value === null ? "" : stateOf(progress.value)}</p>
        {error.value !== undefined && <p class="error" role="alert">{error}</p>}
        {progress.value?.done !== true && (
          <p>
            <button type="button" class="button" disabled={busy.value} onClick={() => void erase()}>
              {texts.look}
            </button>
          </p>
        )}
      </section>
    );
  }
  return (
    <details class="card">
      <summary>{texts.title}</summary>
      <p>{texts.what}</p>
      <ul class="bullets">
        {texts.steps.split("\n").map((step) => <li key={step}>{step}</li>)}
      </ul>
      <form ref={form} class="form" noValidate onSubmit={confirm}>
        <Field label={texts.confirm(customer.accountNumber)} error={error.value} required>
          {(control) => (
            <input
              {...control}
              autoComplete="off"
              value={typed}
              onInput={(event) => typed.value = event.currentTarget.value}
            />
          )}
        </Field>
        <p class="actions">
          <button type="submit" class="button danger" disabled={busy.value}>{texts.erase}</button>
        </p>
      </form>
    </details>
  );
}

function isSame(typed: string, accountNumber: string): boolean {
  return typed.trim().toLowerCase() === accountNumber.toLowerCase();
}

function stateOf({ done, ticketsLeft }: Progress): string {
  return done ? texts.done : texts.left(ticketsLeft);
}
