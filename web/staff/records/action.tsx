/** A button that does something at once, and says why it did not work. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { newKey } from "../../shared/client.ts";
import { messageOf } from "../../shared/errors.ts";
import { persistently } from "../../shared/saving.ts";
import type { Saved } from "./record_form.tsx";

interface ActionProps {
  /** Whether it takes something away. */
  danger?: boolean;
  /** What is asked before; nothing by default. */
  question?: string;
  /** Sends a mutation, with a key that stays the same when it is sent again. */
  act: (key: string) => Promise<Saved>;
  done: () => void;
  children: ComponentChildren;
}

export function Action({ danger = false, question, act, done, children }: ActionProps) {
  const busy = useSignal(false);
  const problem = useSignal<string | null>(null);

  async function press() {
    if (busy.value || (question !== undefined && !confirm(question))) return;
    busy.value = true;
    try {
      const key = newKey();
      const { userErrors } = await persistently(() => act(key));
      problem.value = userErrors.length === 0 ? null : userErrors.map(({ message }) => message).join(" ");
      if (userErrors.length === 0) done();
    } catch (error) {
      problem.value = messageOf(error);
    } finally {
      busy.value = false;
    }
  }

  return (
    <>
      <button
        type="button"
        class={danger ? "button danger" : "button"}
        aria-disabled={busy.value}
        onClick={() => void press()}
      >
        {children}
      </button>
      {problem.value !== null && <span class="error" role="alert">{problem}</span>}
    </>
  );
}
