/** What is around each page of the technicians. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect } from "preact/hooks";
import { connected } from "../shared/client.ts";
import { forgetDrafts } from "../shared/drafts.ts";
import { choose, language, LANGUAGES } from "../texts/language.ts";
import { tech as texts } from "../texts/tech.ts";
import { me } from "./me.ts";

export function Page({ title, children }: { title: string; children: ComponentChildren }) {
  const other = LANGUAGES.find((one) => one !== language)!;
  useLayoutEffect(() => {
    document.title = `${title} · Callout`;
  }, [title]);
  return (
    <>
      <a class="skip" href="#content">{texts.skip}</a>
      <header class="bar">
        <a class="brand" href="/tech">Callout</a>
        <span class="who">{me.value?.name}</span>
        <button type="button" class="link" lang={other} onClick={() => choose(other)}>{texts.otherLanguage}</button>
        <form method="post" action="/sign-out" onSubmit={forgetDrafts}>
          <button type="submit" class="link">{texts.signOut}</button>
        </form>
      </header>
      {!connected.value && <p class="notice offline" role="status">{texts.offline}</p>}
      <main id="content" class="page">
        <h1>{title}</h1>
        {children}
      </main>
    </>
  );
}
