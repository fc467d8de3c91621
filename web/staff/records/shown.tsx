/** The page of an object while it is not there: not read yet, not readable, or gone. */

import type { ComponentChildren } from "preact";
import { records as texts } from "../../texts/records.ts";
import { Page } from "../shell/page.tsx";
import type { ShownRecord } from "./use_record.ts";

interface ShownProps<Shown> {
  record: ShownRecord<Shown>;
  /** The title until the object is there. */
  title: string;
  children: (shown: Shown) => ComponentChildren;
}

export function Shown<Shown>({ record, title, children }: ShownProps<Shown>) {
  const { value, failed } = record;
  if (value.value === null) return <Page title={texts.missing}>{null}</Page>;
  if (value.value !== undefined) {
    return (
      <>
        {children(value.value)}
        {failed.value !== null && <p class="error" role="alert">{failed}</p>}
      </>
    );
  }
  return (
    <Page title={title}>
      {failed.value === null ? <div class="skeleton" aria-hidden="true" /> : <p class="error" role="alert">{failed}</p>}
    </Page>
  );
}
