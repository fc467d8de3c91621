/** What is around each page: the way to the others, who is signed in, and whether the connection is there. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { connected } from "../shared/client.ts";
import { forgetDrafts } from "../shared/drafts.ts";
import { NewVersion } from "../shared/new_version.tsx";
import { choose, language, LANGUAGES } from "../texts/language.ts";
import { portal as texts } from "../texts/portal.ts";
import { me } from "./me.ts";

interface PageProps {
  title: string;
  action?: ComponentChildren;
  children: ComponentChildren;
}

export function Page({ title, action, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => {
    document.title = `${title} · Callout`;
  }, [title]);
  return (
    <>
      <a class="skip" href="#content">{texts.skip}</a>
      <Bar />
      <NewVersion />
      {!connected.value && <p class="notice offline" role="status">{texts.offline}</p>}
      <main id="content" class="page">
        <header class="page-head">
          <h1 ref={heading} tabIndex={-1}>{title}</h1>
          {action}
        </header>
        {children}
      </main>
      <footer class="page-foot">
        <a href="/passkeys">{texts.passkeys}</a>
      </footer>
    </>
  );
}

function Bar() {
  const { path } = useLocation();
  const other = LANGUAGES.find((one) => one !== language)!;
  const current = (to: string) => ({ href: to, "aria-current": path === to ? "page" as const : undefined });
  return (
    <nav class="bar" aria-label="Callout">
      <span class="brand">Callout</span>
      <a {...current("/portal")}>{texts.tickets.title}</a>
      <a {...current("/portal/properties")}>{texts.properties.title}</a>
      <span class="bar-end">
        <span class="who">{me.value?.name}</span>
        <button type="button" class="link" lang={other} onClick={() => choose(other)}>{texts.otherLanguage}</button>
        <form method="post" action="/sign-out" onSubmit={forgetDrafts}>
          <button type="submit" class="link">{texts.signOut}</button>
        </form>
      </span>
    </nav>
  );
}
