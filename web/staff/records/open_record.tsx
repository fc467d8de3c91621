/** A page of one object, which is read when the page opens, and anew after each change that the page follows. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { messageOf } from "../../shared/errors.ts";
import type { Live } from "../../shared/live.ts";
import { persistently } from "../../shared/saving.ts";
import { Time } from "../../shared/time.tsx";
import { records as texts } from "../../texts/records.ts";
import { Page } from "../shell/page.tsx";

interface OpenRecordProps<Found> {
  /** The page's title until the object is there. */
  title: string;
  /** Returns null if there is no such object. */
  read: () => Promise<Found | null>;
  /** Begins to follow the object. `changed` has it read again. */
  follow?: (changed: () => void) => readonly Live[];
  /** Draws the page. `reload` reads the object again. */
  children: (found: Found, reload: () => void) => ComponentChildren;
}

export function OpenRecord<Found>({ title, read, follow, children }: OpenRecordProps<Found>) {
  const found = useSignal<Found | null | undefined>(undefined);
  const failed = useSignal<string | null>(null);

  const reading = useRef<"NO" | "YES" | "AGAIN">("NO");

  async function load() {
    if (reading.current !== "NO") {
      reading.current = "AGAIN"; // what is being read may be older than the change
      return;
    }
    do {
      reading.current = "YES";
      try {
        found.value = await persistently(read);
        failed.value = null;
      } catch (error) {
        failed.value = messageOf(error);
      }
    } while ((reading.current as string) === "AGAIN");
    reading.current = "NO";
  }

  const reload = () => void load();
  useEffect(() => {
    reload();
    const followed = follow?.(reload) ?? [];
    return () => followed.forEach((one) => one.close());
  }, []);
  if (failed.value !== null) {
    return (
      <Page title={title}>
        <p class="error" role="alert">{failed}</p>
      </Page>
    );
  }
  if (found.value === undefined) {
    return (
      <Page title={title}>
        <div class="skeleton" aria-hidden="true" />
      </Page>
    );
  }
  if (found.value === null) return <Page title={texts.missing}>{null}</Page>;
  return <>{children(found.value, reload)}</>;
}

/** A fact in a list of such; nothing if there is no value. */
export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  if (children === null || children === undefined) return null;
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

export function TimeFact({ name, at }: { name: string; at: string | null }) {
  return <Fact name={name}>{at === null ? null : <Time at={at} />}</Fact>;
}
