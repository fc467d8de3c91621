/** Whether a person has access: the filter of lists by it, its sign, and the button that changes it. */

import { people as texts } from "../../texts/people.ts";
import { Action } from "../records/action.tsx";
import { choice, type Chosen, type ListFilter } from "../records/filters.tsx";
import type { Saved } from "../records/record_form.tsx";

export const ACTIVITY: readonly ListFilter[] = [
  choice<"ACTIVE" | "INACTIVE">({ name: "show", label: texts.activity, all: texts.everybody, initial: "ACTIVE" }, {
    ACTIVE: texts.active,
    INACTIVE: texts.inactive,
  }),
];

/** The API's filter; null for both. */
export function activeIn(chosen: Chosen): boolean | null {
  return chosen.show === undefined ? null : chosen.show === "ACTIVE";
}

export function ActiveBadge({ active }: { active: boolean }) {
  return (
    <span class="badge" data-active={active}>
      <span aria-hidden="true">{active ? "●" : "○"}</span> {active ? texts.active : texts.inactive}
    </span>
  );
}

interface ActivityProps {
  active: boolean;
  words: { activate: string; activateText: string; deactivate: string };
  /** What follows from making the person inactive. */
  deactivateText: string;
  question: string;
  set: (active: boolean, idempotencyKey: string) => Promise<Saved>;
  done: () => void;
}

export function Activity({ active, words, deactivateText, question, set, done }: ActivityProps) {
  return (
    <section class="card" aria-labelledby="person-access">
      <h2 id="person-access">
        {texts.access} <ActiveBadge active={active} />
      </h2>
      <p>{active ? deactivateText : words.activateText}</p>
      <p class="actions">
        <Action danger={active} question={active ? question : undefined} act={(key) => set(!active, key)} done={done}>
          {active ? words.deactivate : words.activate}
        </Action>
      </p>
    </section>
  );
}
