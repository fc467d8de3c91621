/** What is around each page of the staff: the sidebar, who is signed in, the palette, the help, and what is shown when a
 * page fails. */

import "./shell.css";
import { signal, useSignal } from "@preact/signals";
import { Component, type ComponentChildren } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { chooseTheme, type Theme, theme, THEMES } from "../../design/theme.ts";
import { draftCount, forgetDrafts } from "../../shared/drafts.ts";
import { choose, language, LANGUAGES } from "../../texts/language.ts";
import { shell as texts } from "../../texts/shell.ts";
import { viewer } from "../viewer.ts";
import { pressed, type Shortcut, shortcuts, useShortcuts } from "./keys.ts";
import { PAGES } from "./pages.ts";
import { Palette } from "./palette.tsx";

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
      <Sidebar path={path} />
      <main id="content" ref={main} tabIndex={-1}>
        <Boundary key={path}>{children}</Boundary>
      </main>
      {palette.value && <Palette close={() => palette.value = false} />}
      {help.value && <Help close={() => help.value = false} />}
    </div>
  );
}

function Sidebar({ path }: { path: string }) {
  return (
    <header class="sidebar">
      <a class="brand" href="/tickets">Callout</a>
      <nav aria-label={texts.navigation}>
        <ul>
          {PAGES.map(({ href, name, sign }) => (
            <li key={href}>
              <a href={href} aria-current={path === href || path.startsWith(`${href}/`) ? "page" : undefined}>
                <span aria-hidden="true">{sign}</span> {name}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <button type="button" class="find" onClick={() => palette.value = true}>
        {texts.palette} <kbd>Ctrl K</kbd>
      </button>
      <PersonMenu />
    </header>
  );
}

interface Demo {
  role: keyof typeof texts.roles;
  id: string;
  name: string;
}

function PersonMenu() {
  const people = useSignal<readonly Demo[]>([]);
  useEffect(() => {
    // In development alone; elsewhere the server has no such path.
    fetch("/demo").then((answer) => answer.ok ? answer.json() : { people: [] }).then(
      (found) => people.value = found.people,
      () => {},
    );
  }, []);
  return (
    <details class="person">
      <summary>{viewer.value?.name ?? texts.you}</summary>
      <div class="person-menu">
        <label class="field">
          <span>{texts.theme}</span>
          <select value={theme} onChange={(event) => chooseTheme(event.currentTarget.value as Theme)}>
            {THEMES.map((one) => <option key={one} value={one}>{texts.themes[one]}</option>)}
          </select>
        </label>
        <label class="field">
          <span>{texts.language}</span>
          <select value={language} onChange={(event) => choose(event.currentTarget.value as typeof language)}>
            {LANGUAGES.map((one) => (
              <option key={one} value={one} lang={one}>{one === "en" ? "English" : "Français"}</option>
            ))}
          </select>
        </label>
        <button type="button" class="button" onClick={() => help.value = true}>{texts.help}</button>
        {people.value.length > 0 && (
          <form class="field" method="post" action="/demo/sign-in">
            <span>{texts.lookAs}</span>
            {people.value.map(({ role, id, name }) => (
              <button key={id} type="submit" class="link" name="id" value={id}>{texts.roles[role]}: {name}</button>
            ))}
          </form>
        )}
        <form method="post" action="/sign-out" onSubmit={signOut}>
          <button type="submit" class="button">{texts.signOut}</button>
        </form>
      </div>
    </details>
  );
}

/** Deletes the drafts, as others may use this computer next, after a question if there are any. */
function signOut(event: Event): void {
  const drafts = draftCount();
  if (drafts > 0 && !confirm(texts.losesDrafts(drafts))) event.preventDefault();
  else forgetDrafts();
}

function Help({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="help" aria-label={texts.help} onClose={close}>
      <h2>{texts.help}</h2>
      <dl class="facts">
        <dt>
          <kbd>Ctrl K</kbd>
        </dt>
        <dd>{texts.palette}</dd>
        {shortcuts.value.map(({ keys, text }) => (
          <>
            <dt key={keys}>{keys.split(" ").map((key) => <kbd key={key}>{key}</kbd>)}</dt>
            <dd>{text}</dd>
          </>
        ))}
      </dl>
      <form method="dialog">
        <button type="submit" class="button">{texts.close}</button>
      </form>
    </dialog>
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
    return (
      <div class="empty" role="alert">
        <p class="empty-title">{texts.failed}</p>
        <p>{texts.failedText}</p>
        <p>
          <code>{error instanceof Error ? error.message : String(error)}</code>
        </p>
        <button type="button" class="button primary" onClick={() => location.reload()}>{texts.reload}</button>
      </div>
    );
  }
}
