/** Whether the server has another version of the console than this page, as after an update.
 *
 * A page asks for its own script: its name has a hash of its contents, so it is gone once there is another version. That
 * is asked when the connection is there again, as a server that is updated cuts it, and when a part of the console cannot
 * be loaded. */

import { signal } from "@preact/signals";

/** Whether there is another version. The page goes on as far as it can; what is typed is kept (`drafts.ts`). */
export const hasNewVersion = signal(false);

/** What the server answers to operations that its own version of the console does not have. */
const UNKNOWN_OPERATION = ["GRAPHQL_VALIDATION_FAILED", "DOCUMENT_NOT_TRUSTED"];
const ASKED_EVERY = 10_000;
let askedAt = -Infinity;

/** Asks whether there is another version, at most every 10 seconds. */
export async function lookForNewVersion(): Promise<void> {
  const script = document.querySelector<HTMLScriptElement>('script[type="module"]');
  if (script === null || hasNewVersion.value || performance.now() - askedAt < ASKED_EVERY) return;
  askedAt = performance.now();
  try {
    const { status } = await fetch(script.src, { method: "HEAD", cache: "no-store" });
    if (status === 404) hasNewVersion.value = true;
  } catch {
    askedAt = -Infinity; // the server is away: ask again when it is back
  }
}

/** Takes the code of an error of the API, which may say that there is another version. */
export function noteRefusal(code: string): void {
  if (UNKNOWN_OPERATION.includes(code)) hasNewVersion.value = true;
}
