/** Who is signed in: asked for once, before the first page. */

import { signal } from "@preact/signals";
import { execute } from "../shared/client.ts";
import { keepDraftsOf } from "../shared/drafts.ts";
import { persistently } from "../shared/saving.ts";
import { timeZone } from "../shared/time.tsx";
import { TechMe, type TechMeQuery } from "./operations.ts";

export const me = signal<TechMeQuery["me"] | null>(null);

/** Asks who is signed in, until the server answers. Throws the errors of `execute` that will come again. */
export async function load(): Promise<void> {
  const found = (await persistently(() => execute(TechMe, {}))).me;
  me.value = found;
  timeZone.value = found.timeZone;
  keepDraftsOf(found.id);
}
