/** What is around each page of the staff: the sidebar, who is signed in, the palette, the help, and what is shown when a
 * page fails. */

import "./shell.css";
import { signal } from "@preact/signals";
import { Component, type ComponentChildren } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { lastRequestId } from "../../shared/client.ts";
import { ApiError } from "../../shared/errors.ts";
import { NewVersion } from "../../shared/new_version.tsx";
import { shell as texts } from "../../texts/shell.ts";
import { Help } from "./help.tsx";
import { pressed, type Shortcut, useShortcuts } from "./keys.ts";
import { Page } from "./page.tsx";
import { Palette } from "./palette.tsx";
import { Navigation } from "./sidebar.tsx";

const palette = signal(false);
const help = signal(false);

export function Shell({ children }: { children: ComponentChildren }) {
  const { path, route } = useLocation();
  const keys = useMemo<Shortcut[]>(() => [
    { keys: "?", text: texts.helpKey, run: () => help.value = true },
    { keys: "g t", text: texts.goToTickets, run: () => route("/tickets") },
  ], []);
  useShortcuts(keys);
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key === "k" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        palette.value = true;
      } else pressed(event);
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    // A reader of the screen learns that the page is another one; the first page has just been loaded anyway.
    if (!first.current) main.current?.focus({ preventScroll: true });
    first.current = false;
  }, [path]);
  return (
    <div class="shell">
      <a class="skip" href="#content">{texts.skip}</a>
      <Navigation path={path} find={() => palette.value = true} help={() => help.value = true} />
      <main id="content" ref={main} tabIndex={-1}>
        <NewVersion />
        <Boundary key={path}>{children}</Boundary>
      </main>
      {palette.value && <Palette close={() => palette.value = false} />}
      {help.value && <Help close={() => help.value = false} />}
    </div>
  );
}

/** Shows what is wrong instead of a page that has thrown an error. The drafts are kept. */
class Boundary extends Component<{ children: ComponentChildren }, { error: unknown }> {
  override state = { error: null as unknown };

  static override getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (error === null) return this.props.children;
    const requestId = error instanceof ApiError ? error.requestId : lastRequestId();
    return (
      <Page title={texts.failed}>
        <div class="failed" role="alert">
          <p>{texts.failedText}</p>
          <p>
            <code>{error instanceof Error ? error.message : String(error)}</code>
          </p>
          {requestId !== null && (
            <p>
              {texts.request} <code>{requestId}</code>
            </p>
          )}
          <button type="button" class="button primary" onClick={() => location.reload()}>{texts.reload}</button>
        </div>
      </Page>
    );
  }
}
