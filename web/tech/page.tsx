/** What is around each page of the technicians. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect } from "preact/hooks";
import { NewVersion } from "../shared/new_version.tsx";
import { choose, language, LANGUAGES } from "../texts/language.ts";
import { tech as texts } from "../texts/tech.ts";
import { online, problem, queue } from "./device/device.ts";
import { me } from "./me.ts";
import { signOut } from "./phone/sign_out.ts";

interface PageProps {
  title: string;
  /** Whether a link leads back to the list. */
  back?: boolean;
  children?: ComponentChildren;
}

export function Page({ title, back, children }: PageProps) {
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
        <button type="button" class="link" onClick={() => void signOut()}>{texts.signOut}</button>
      </header>
      <Connection />
      <NewVersion />
      <main id="content" class="page">
        {back && <a href="/tech">← {texts.back}</a>}
        <h1>{title}</h1>
        {children}
      </main>
      <footer class="page-foot">
        <a href="/passkeys">{texts.passkeys}</a>
      </footer>
    </>
  );
}

/** Whether there is a connection, and what has not been sent; nothing if all is well. */
function Connection() {
  const open = queue.value.filter(({ result }) => result).length;
  const waiting = queue.value.length - open;
  return (
    <div class="connection" role="status">
      {!online.value && <p class="notice offline">{texts.offline}</p>}
      {problem.value !== null && <p class="notice error">{problem}</p>}
      {waiting > 0 && (
        <p class="notice">
          <a href="/tech/waiting">{texts.waiting(waiting)}</a>
        </p>
      )}
      {open > 0 && (
        <p class="notice error">
          <a href="/tech/waiting">{texts.unsettled(open)}</a>
        </p>
      )}
    </div>
  );
}
