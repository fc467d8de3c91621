/** Subscriptions as signals: what they have sent last, and whether that is still so. */

import { computed, effect, type ReadonlySignal, signal } from "@preact/signals";
import { connected, subscribe } from "./client.ts";
import type { Document } from "./document.ts";
import type { ApiError } from "./errors.ts";
import { sleep } from "./retry.ts";
import { retryAfter } from "./saving.ts";

/** `CONNECTING` before the first message; `RECONNECTING` while what was sent may be out of date; `FAILED` if the server
 * refuses the subscription, and will again. */
export type LiveState = "CONNECTING" | "LIVE" | "RECONNECTING" | "FAILED";

/** A subscription that has been begun. */
export interface Live {
  readonly state: ReadonlySignal<LiveState>;
  /** Why it is not live, if the server said so. Its `retryAfter` is in seconds. */
  readonly error: ReadonlySignal<ApiError | null>;
  /** Ends it. Does nothing if it has ended. */
  close(): void;
}

/** Subscribes, and again after lost connections and after errors that pass, until `close`.
 *
 * `variables` is called each time, so that a stream can go on after its last cursor. `take` gets each message. */
export function live<Data, Variables extends Record<string, unknown>>(
  document: Document<Data, Variables>,
  variables: () => Variables,
  take: (data: Data) => void,
): Live {
  const isCurrent = signal(false);
  const hasBegun = signal(false);
  const hasFailed = signal(false);
  const error = signal<ApiError | null>(null);
  const closed = new AbortController();
  let failures = 0;
  let unsubscribe = () => {};

  const begin = () => {
    unsubscribe = subscribe(document, variables, {
      next(data) {
        failures = 0;
        error.value = null;
        hasBegun.value = true;
        isCurrent.value = true;
        take(data);
      },
      failed: (reason) => void beginAgain(reason),
    });
  };
  const beginAgain = async (reason: ApiError) => {
    const seconds = retryAfter(reason, failures++);
    isCurrent.value = false;
    error.value = reason;
    hasFailed.value = seconds === null;
    if (seconds === null) return;
    await sleep(seconds, closed.signal);
    if (!closed.signal.aborted) begin();
  };
  const stopWatching = effect(() => {
    if (!connected.value) isCurrent.value = false;
  });
  begin();
  return {
    state: computed(() => {
      if (hasFailed.value) return "FAILED";
      if (isCurrent.value) return "LIVE";
      return hasBegun.value || !connected.value ? "RECONNECTING" : "CONNECTING";
    }),
    error,
    close() {
      closed.abort();
      stopWatching();
      unsubscribe();
    },
  };
}
