/** What the pages of webhooks have in common. */

import { webhooks as texts } from "../../texts/webhooks.ts";
import type { WebhookRowFragment } from "../operations.ts";
import type { FieldOf } from "../records/record_form.tsx";

export interface WebhookValues {
  url: string;
  document: string;
  variables: string;
}

export const FIELDS: readonly FieldOf<WebhookValues>[] = [
  { name: "url", label: texts.url, hint: texts.urlHint },
  { name: "document", label: texts.document, hint: texts.documentHint, kind: "text" },
  { name: "variables", label: texts.variables, hint: texts.variablesHint, kind: "text" },
];

export function WebhookBadge(
  { webhook: { state, failures } }: { webhook: Pick<WebhookRowFragment, "state" | "failures"> },
) {
  if (state === "SUSPENDED") return <span class="badge bad">{texts.states.SUSPENDED}</span>;
  if (failures > 0) return <span class="badge bad">{texts.failing}</span>;
  return <span class="badge good">{texts.states.ACTIVE}</span>;
}
