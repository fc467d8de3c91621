/** Who is signed in. */

import { signal } from "@preact/signals";
import { execute } from "../shared/client.ts";
import { keepDraftsOf } from "../shared/drafts.ts";
import { persistently } from "../shared/saving.ts";
import { StaffViewer, type StaffViewerQuery } from "./operations.ts";

export const viewer = signal<StaffViewerQuery["me"] | null>(null);

/** Reads who is signed in, and lets them have their drafts. */
export async function readViewer(): Promise<void> {
  const { me } = await persistently(() => execute(StaffViewer, {}));
  viewer.value = me;
  keepDraftsOf(me.id);
}
