/** The command palette: goes to a page, or to a ticket by its reference or its words. */

import { useSignal } from "@preact/signals";
import { useEffect, useId, useLayoutEffect, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { execute } from "../../shared/client.ts";
import { shell as texts } from "../../texts/shell.ts";
import { ShellFind } from "../operations.ts";
import { PAGES } from "./pages.ts";

const PAUSE_MILLISECONDS = 150;

interface Entry {
  href: string;
  name: string;
  more: string;
}

/** The tickets that were found; `FAILED` if the server did not say which. */
interface Found {
  state: "DONE" | "SEARCHING" | "FAILED";
  entries: readonly Entry[];
}

const NOTHING: Found = { state: "DONE", entries: [] };

export function Palette({ close }: { close: () => void }) {
  const { route } = useLocation();
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const typed = useSignal("");
  const found = useSignal<Found>(NOTHING);
  const chosen = useSignal(0);
  useLayoutEffect(() => dialog.current?.showModal(), []);
  useEffect(() => search(typed.value, (state, entries = found.value.entries) => found.value = { state, entries }), [
    typed.value,
  ]);

  const wanted = typed.value.trim().toLowerCase();
  const pages = [...PAGES, { href: "/tickets/new", name: texts.pages.newTicket }]
    .filter(({ name }) => name.toLowerCase().includes(wanted))
    .map(({ href, name }) => ({ href, name, more: "" }));
  const entries = [...pages, ...found.value.entries];
  const at = Math.min(chosen.value, entries.length - 1);
  const go = (entry: Entry | undefined) => {
    if (entry === undefined) return;
    close();
    route(entry.href);
  };

  function onKeyDown(event: KeyboardEvent) {
    if (event.key === "ArrowDown") chosen.value = Math.min(at + 1, entries.length - 1);
    else if (event.key === "ArrowUp") chosen.value = Math.max(at - 1, 0);
    else if (event.key === "Enter") go(entries[at]);
    else return;
    event.preventDefault();
  }

  return (
    <dialog ref={dialog} class="palette" aria-label={texts.palette} onClose={close}>
      <input
        role="combobox"
        aria-label={texts.palette}
        aria-expanded="true"
        aria-controls={id}
        aria-activedescendant={at >= 0 ? `${id}-${at}` : undefined}
        placeholder={texts.paletteHint}
        maxLength={200}
        value={typed}
        onInput={(event) => {
          typed.value = event.currentTarget.value;
          chosen.value = 0;
        }}
        onKeyDown={onKeyDown}
      />
      <ul id={id} role="listbox" aria-label={texts.palette}>
        {entries.map((entry, index) => (
          <li
            key={entry.href}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === at}
            onClick={() => go(entry)}
          >
            {entry.name} <span class="hint">{entry.more}</span>
          </li>
        ))}
      </ul>
      <p class="hint" role="status">{statusOf(found.value.state, entries.length)}</p>
    </dialog>
  );
}

function statusOf(state: Found["state"], entries: number): string {
  if (state === "SEARCHING") return texts.paletteSearching;
  if (state === "FAILED") return texts.paletteFailed;
  return entries === 0 ? texts.paletteNone : "";
}

/** Finds tickets a moment after the last key, and returns the function that gives the search up. */
function search(typed: string, show: (state: Found["state"], entries?: readonly Entry[]) => void): () => void {
  const controller = new AbortController();
  const words = typed.trim();
  if (words.length < 2) show("DONE", []);
  else show("SEARCHING"); // the tickets that were found before stay until then
  const timer = setTimeout(async () => {
    if (words.length < 2) return;
    try {
      const { tickets } = await execute(ShellFind, { search: words }, controller.signal);
      const entries = tickets.nodes.map(({ reference, subject, contact }) => ({
        href: `/tickets/${reference}`,
        name: `${reference} ${subject}`,
        more: contact.name,
      }));
      show("DONE", entries);
    } catch {
      if (!controller.signal.aborted) show("FAILED", []);
    }
  }, PAUSE_MILLISECONDS);
  return () => {
    clearTimeout(timer);
    controller.abort();
  };
}
