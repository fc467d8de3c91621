/** Changes of objects, which a page follows. */

import type { Document } from "../../shared/document.ts";
import { type Live, live } from "../../shared/live.ts";

interface Message {
  __typename: string;
  cursor: string;
  resumed?: boolean;
}

/** Follows a stream of changes, such as `customerChanged`. Calls `changed` after those that `concern` the page, and when
 * changes may have been missed. */
export function followChanges<Data extends object>(
  document: Document<Data, { after?: string | null | undefined }>,
  concerns: (data: Data) => boolean,
  changed: () => void,
): Live {
  let after: string | null = null;
  return live(document, () => ({ after }), (data) => {
    const [message] = Object.values(data) as [Message];
    after = message.cursor;
    if (message.__typename === "StreamReady" ? !message.resumed : concerns(data)) changed();
  });
}
