/** What a page shows of an object: read when the page opens, and anew after each change. */

import { type ReadonlySignal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Document } from "../../shared/document.ts";
import { type Live, live } from "../../shared/live.ts";
import { persistently } from "../../shared/saving.ts";

/** An object on a page: undefined until it has been read, null if there is none. */
export interface ShownRecord<Shown> {
  readonly value: ReadonlySignal<Shown | null | undefined>;
  /** Why it could not be read. */
  readonly failed: ReadonlySignal<string | null>;
  readAgain: () => void;
}

/** Reads an object with `read` and, when something of `follow` calls its argument, again. The page must have another key
 * for another object. */
export function useRecord<Shown>(
  read: () => Promise<Shown | null>,
  follow: (changed: () => void) => readonly Live[],
): ShownRecord<Shown> {
  const value = useSignal<Shown | null | undefined>(undefined);
  const failed = useSignal<string | null>(null);
  const reading = useSignal<"NO" | "YES" | "AGAIN">("NO");

  async function readNow() {
    if (reading.value !== "NO") {
      reading.value = "AGAIN"; // what is being read may be older than the change
      return;
    }
    do {
      reading.value = "YES";
      try {
        value.value = await persistently(read);
        failed.value = null;
      } catch (error) {
        failed.value = (error as Error).message;
      }
    } while ((reading.value as string) === "AGAIN");
    reading.value = "NO";
  }

  const readAgain = () => void readNow();
  useEffect(() => {
    readAgain();
    const followed = follow(readAgain);
    return () => followed.forEach((one) => one.close());
  }, []);
  return { value, failed, readAgain };
}

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
