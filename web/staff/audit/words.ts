/** Entries of the audit trail in words. */

import { exact } from "../../shared/time.tsx";
import { audit as texts } from "../../texts/audit.ts";
import type { AuditPageQuery } from "../operations.ts";

export type Entry = AuditPageQuery["auditEntries"]["nodes"][number];
type Change = Entry["changes"][number];

const LONGEST = 200;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d/;
/** Fields by which people know an object, the best one first. */
const NAMES = ["name", "problem", "address", "url", "email"];

const PAGES: Partial<Record<Entry["objectKind"], string>> = {
  CUSTOMER: "/customers",
  PROPERTY: "/properties",
  TECHNICIAN: "/technicians",
  ARTICLE: "/articles",
  INBOUND_MESSAGE: "/inbox",
  API_KEY: "/keys",
  WEBHOOK: "/keys/webhooks",
  ADMIN: "/admins",
};

/** “Email: from “ann@old.example” to “ann@new.example””. */
export function inWords({ field, before, after }: Change): string {
  const name = (texts.fields as Record<string, string>)[field] ?? field;
  if (after === null) return texts.removed(name, valueOf(before ?? ""));
  if (before === null) return texts.set(name, valueOf(after));
  return texts.changed(name, valueOf(before), valueOf(after));
}

/** A value as people write it. The direction of its text has no effect on what is around it. */
function valueOf(value: string): string {
  if (value === "true") return texts.yes;
  if (value === "false") return texts.no;
  if (TIME.test(value)) return exact(value);
  return texts.quoted(`\u2068${value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value}\u2069`);
}

/** What people know the object by, if the entry says so. */
export function nameOf({ changes }: Entry): string | null {
  for (const field of NAMES) {
    const found = changes.find((one) => one.field === field);
    if (found !== undefined) return found.after ?? found.before;
  }
  return null;
}

/** Where the object is shown; null if it has no page. */
export function addressOf({ objectKind, objectId, action }: Entry): string | null {
  const page = PAGES[objectKind];
  return page === undefined || objectId === null || action === "DELETED" ? null : `${page}/${objectId}`;
}
