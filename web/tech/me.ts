/** Who is signed in. The phone remembers it, so that the pages need no connection to begin. */

import { signal } from "@preact/signals";
import { execute } from "../shared/client.ts";
import { keepDraftsOf } from "../shared/drafts.ts";
import { persistently } from "../shared/saving.ts";
import { timeZone } from "../shared/time.tsx";
import { TechMe, type TechMeQuery } from "./operations.ts";

type Me = TechMeQuery["me"];

const REMEMBERED = "callout.tech";

export const me = signal<Me | null>(null);

/** The technician who was signed in on this phone last; null if they have signed out since. */
export function remembered(): Me | null {
  try {
    return JSON.parse(localStorage.getItem(REMEMBERED) ?? "null");
  } catch {
    return null;
  }
}

/** Makes the pages this technician's. */
export function be(person: Me): void {
  me.value = person;
  timeZone.value = person.timeZone;
  keepDraftsOf(person.id);
}

/** Asks the server who is signed in, until it answers, and remembers it. `waiting` gets true while there is no
 * connection. Throws the errors of `execute` that will come again. */
export async function ask(waiting?: (waits: boolean) => void): Promise<Me> {
  const found = (await persistently(() => execute(TechMe, {}), waiting)).me;
  localStorage.setItem(REMEMBERED, JSON.stringify(found));
  return found;
}

/** Has `left` called when another tab finds that somebody else has signed in. */
export function whenSomebodyElseComes(left: () => void): void {
  addEventListener("storage", ({ key }) => {
    const found = key === REMEMBERED ? remembered() : null;
    if (found !== null && found.id !== me.value?.id) left();
  });
}

export function forgetMe(): void {
  localStorage.removeItem(REMEMBERED);
}
