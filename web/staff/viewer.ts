/** Who is signed in. */

import { signal } from "@preact/signals";
import { execute } from "../shared/client.ts";
import { keepDraftsOf } from "../shared/drafts.ts";
import { persistently } from "../shared/saving.ts";
import { timeZone } from "../shared/time.tsx";
import { StaffViewer, type StaffViewerQuery } from "./operations.ts";

export const viewer = signal<StaffViewerQuery["me"] | null>(null);

/** Reads who is signed in, and lets them have their drafts. */
export async function readViewer(): Promise<void> {
  const { me } = await persistently(() => execute(StaffViewer, {}));
  viewer.value = me;
  timeZone.value = me.timeZone;
  keepDraftsOf(me.id);
}
