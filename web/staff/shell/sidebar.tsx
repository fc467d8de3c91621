/** The way to the pages, and who is signed in: beside the page, or on a phone behind a button. */

import { signal, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { chooseTheme, type Theme, theme, THEMES } from "../../design/theme.ts";
import { draftCount, forgetDrafts } from "../../shared/drafts.ts";
import { choose, language, LANGUAGES } from "../../texts/language.ts";
import { shell as texts } from "../../texts/shell.ts";
import { viewer } from "../viewer.ts";
import { Icon } from "./icons.tsx";
import { PAGES } from "./pages.ts";

interface NavigationProps {
  path: string;
  find: () => void;
  help: () => void;
}

const NARROW = matchMedia("(max-width: 48rem)");
const isNarrow = signal(NARROW.matches);
NARROW.addEventListener("change", () => isNarrow.value = NARROW.matches);

export function Navigation(props: NavigationProps) {
  if (isNarrow.value) return <Bar {...props} />;
  return (
    <header class="sidebar">
      <a class="brand" href="/tickets">Callout</a>
      <Contents {...props} />
    </header>
  );
}

/** The bar of a phone. Its button opens the rest over the page. */
function Bar({ path, find, help }: NavigationProps) {
  const open = useSignal(false);
  useEffect(() => {
    open.value = false;
  }, [path]);
  const close = () => open.value = false;
  return (
    <header class="top-bar">
      <button
        type="button"
        class="bar-button"
        aria-label={texts.menu}
        aria-haspopup="dialog"
        aria-expanded={open}
        onClick={() => open.value = true}
      >
        <Icon name="menu" />
      </button>
      <a class="brand" href="/tickets">Callout</a>
      <button type="button" class="bar-button" aria-label={texts.palette} onClick={find}>
        <Icon name="find" />
      </button>
      {open.value && (
        <Drawer close={close}>
          <Contents
            path={path}
            find={() => {
              close();
              find();
            }}
            help={() => {
              close();
              help();
            }}
          />
        </Drawer>
      )}
    </header>
  );
}

function Drawer({ close, children }: { close: () => void; children: preact.ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      class="drawer"
      aria-label={texts.menu}
      onClose={close}
      onClick={(event) => event.target === event.currentTarget && close()}
    >
      <div class="drawer-contents">
        <button type="button" class="button drawer-close" onClick={close}>{texts.close}</button>
        {children}
      </div>
    </dialog>
  );
}

function Contents({ path, find, help }: NavigationProps) {
  return (
    <>
      <nav aria-label={texts.navigation}>
        <ul>
          {PAGES.map(({ href, name, sign }) => (
            <li key={href}>
              <a href={href} aria-current={isAt(path, href) ? "page" : undefined}>
                <Icon name={sign} /> {name}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <button type="button" class="find" onClick={find}>
        <Icon name="find" /> {texts.palette} <kbd>Ctrl K</kbd>
      </button>
      <PersonMenu help={help} />
    </>
  );
}

/** Whether the page at this path belongs to this entry. The list of tickets is also at the root. */
function isAt(path: string, href: string): boolean {
  return path === href || path.startsWith(`${href}/`) || (path === "/" && href === "/tickets");
}

interface Demo {
  role: keyof typeof texts.roles;
  id: string;
  name: string;
}

const people = signal<readonly Demo[] | null>(null);

/** Reads as whom one can look around. Only a server in development has such people, and its pages say so. */
async function readPeople(): Promise<void> {
  if (document.body.dataset.demo === undefined || people.value !== null) return;
  people.value = [];
  const answer = await fetch("/demo").catch(() => null);
  if (answer?.ok) people.value = (await answer.json()).people;
}

function PersonMenu({ help }: { help: () => void }) {
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => void readPeople(), []);
  useEffect(() => {
    const close = () => menu.current!.open = false;
    const onPointerDown = ({ target }: Event) => menu.current!.contains(target as Node) || close();
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || !menu.current!.open || event.defaultPrevented) return;
      event.preventDefault();
      close();
      menu.current!.querySelector("summary")!.focus();
    };
    document.addEventListener("pointerdown", onPointerDown);
    menu.current!.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("pointerdown", onPointerDown);
  }, []);
  return (
    <details
      ref={menu}
      class="person"
      onToggle={({ currentTarget }) => currentTarget.open && currentTarget.scrollIntoView({ block: "end" })}
    >
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
        <a class="button" href="/settings/sessions" onClick={() => menu.current!.open = false}>{texts.sessions}</a>
        <button type="button" class="button" onClick={help}>{texts.help}</button>
        {people.value !== null && people.value.length > 0 && (
          <form class="field" method="post" action="/demo/sign-in">
            <span>{texts.lookAs}</span>
            {people.value.map(({ role, id, name }) => (
              <button key={id} type="submit" class="link" name="id" value={id}>{texts.roles[role]}: {name}</button>
            ))}
          </form>
        )}
        <a class="button" href="/passkeys" target="_top">{texts.passkeys}</a>
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
