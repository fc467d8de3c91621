/** Keys that do something on the page that is open, and in the shell around it. */

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export interface Shortcut {
  /** One key (`j`, `/`), or two in a row (`g t`). */
  keys: string;
  /** What it does, for the help. */
  text: string;
  run: () => void;
}

const SECOND_KEY_MILLISECONDS = 1_000;
const CHOICE = "callout.keys";

/** The shortcuts that work now; those of the page come after the shell's. */
export const shortcuts = signal<readonly Shortcut[]>([]);

/** Whether keys of a character do something. Some people cannot help pressing them, as who speaks to the computer. */
export const keysWork = signal(localStorage.getItem(CHOICE) !== "off");

export function letKeysWork(work: boolean): void {
  localStorage.setItem(CHOICE, work ? "on" : "off");
  keysWork.value = work;
}

let first = "";
let firstAt = 0;

/** Makes the shortcuts work for as long as the component is there. */
export function useShortcuts(added: readonly Shortcut[]): void {
  useEffect(() => {
    shortcuts.value = [...shortcuts.value, ...added];
    return () => shortcuts.value = shortcuts.value.filter((one) => !added.includes(one));
  }, [added]);
}

/** Runs the shortcut of a key that was pressed outside of a field. */
export function pressed(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (!keysWork.value && event.key !== "Escape") return;
  const before = event.timeStamp - firstAt < SECOND_KEY_MILLISECONDS ? first : "";
  const found = shortcuts.value.findLast(({ keys }) => keys === `${before} ${event.key}`) ??
    shortcuts.value.findLast(({ keys }) => keys === event.key);
  first = found === undefined ? event.key : "";
  firstAt = event.timeStamp;
  if (found === undefined) return;
  event.preventDefault();
  found.run();
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest("dialog[open]") !== null) return true;
  if (target instanceof HTMLInputElement) return target.type !== "checkbox" && target.type !== "radio";
  return target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}
