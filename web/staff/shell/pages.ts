/** The pages that there are, for the sidebar and the palette. */

import { shell as texts } from "../../texts/shell.ts";

export interface PageLink {
  href: string;
  name: string;
  sign: string;
}

export const PAGES: readonly PageLink[] = [
  { href: "/tickets", name: texts.pages.tickets, sign: "▤" },
  { href: "/customers", name: texts.pages.customers, sign: "☺" },
  { href: "/articles", name: texts.pages.articles, sign: "✎" },
];
