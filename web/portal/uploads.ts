/** The files on their way: they go on while the customer looks at other pages. */

import { signal } from "@preact/signals";
import { Uploads } from "../shared/upload.ts";

/** Counts the files that have arrived; a page that shows a ticket reads it anew then. */
export const arrived = signal(0);

export const uploads = new Uploads(() => arrived.value++);
