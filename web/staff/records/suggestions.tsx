/** What may be meant by the words in a line of a form: the browser shows it below the line. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export type Suggest = (words: string, signal: AbortSignal) => Promise<readonly Suggestion[]>;

interface Suggestion {
  value: string;
  label: string;
}

const PAUSE_MILLISECONDS = 150;
const LEAST = 2;

export function Suggestions({ id, words, suggest }: { id: string; words: string; suggest: Suggest }) {
  const found = useSignal<readonly Suggestion[]>([]);
  useEffect(() => {
    const wanted = words.trim().slice(0, 200);
    if (wanted.length < LEAST) return;
    const controller = new AbortController();
    const timer = setTimeout(() => {
      suggest(wanted, controller.signal).then((some) => found.value = some, () => {}); // the line works without
    }, PAUSE_MILLISECONDS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [words]);
  return (
    <datalist id={id}>
      {found.value.map(({ value, label }) => <option key={value} value={value}>{label}</option>)}
    </datalist>
  );
}
