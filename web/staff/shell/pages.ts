/** The pages that there are, for the sidebar and the palette. */

import { shell as texts } from "../../texts/shell.ts";
import type { IconName } from "./icons.tsx";

export interface PageLink {
  href: string;
  name: string;
  sign: IconName;
}

export const PAGES: readonly PageLink[] = [
  { href: "/tickets", name: texts.pages.tickets, sign: "tickets" },
  { href: "/customers", name: texts.pages.customers, sign: "customers" },
  { href: "/properties", name: texts.pages.properties, sign: "properties" },
  { href: "/articles", name: texts.pages.articles, sign: "articles" },
  { href: "/inbox", name: texts.pages.inbox, sign: "inbox" },
  { href: "/deliveries", name: texts.pages.deliveries, sign: "deliveries" },
  { href: "/settings", name: texts.pages.settings, sign: "settings" },
  { href: "/technicians", name: texts.pages.technicians, sign: "technicians" },
  { href: "/admins", name: texts.pages.admins, sign: "admins" },
  { href: "/keys", name: texts.pages.keys, sign: "keys" },
  { href: "/audit", name: texts.pages.audit, sign: "audit" },
];
