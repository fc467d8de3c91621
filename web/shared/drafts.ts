/** Drafts: what a person has typed and not sent yet. They survive errors, reloads, crashes, and the end of the session.
 *
 * They are in `localStorage`, written with each change: a reload or a crash of the tab comes too suddenly for anything
 * that is written later. Each belongs to the person who typed it, and to one tab at a time: the tab holds a lock, which
 * the browser releases when the tab is gone, and a tab that opens the same form takes up what no other tab has open.
 * A draft is deleted when it was sent, when the person signs out (`forgetDrafts`), or after 14 days. A person whose
 * session ends otherwise finds their drafts again. What a page has open when its person signs out in another tab is
 * written once more when the page leaves. */

import { effect, type ReadonlySignal, signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";

const PREFIX = "callout.draft/";
const DAYS_KEPT = 14;
const MOST = 50;
const LONGEST = 250_000;
const DAY = 86_400_000;
const LOCK_MILLISECONDS = 1_000;

/** A draft as it is stored. `savedAt` is in milliseconds since 1970. */
interface Entry {
  name: string;
  value: unknown;
  savedAt: number;
}

/** A person's drafts in a browser's storage: at most 50, each of 250,000 characters, for 14 days. */
export class DraftStore {
  readonly #prefix: string;

  constructor(private readonly storage: Storage, person: string, private readonly now: () => number = Date.now) {
    this.#prefix = `${PREFIX}${encodeURIComponent(person)}/`;
  }

  /** The drafts with this name, the newest first. */
  find(name: string): { id: string; value: unknown }[] {
    const found = this.#entries().filter(({ entry }) => entry.name === name);
    return found.map(({ id, entry }) => ({ id, value: entry.value }));
  }

  /** Stores a draft. Returns whether there was room for it. */
  save(id: string, name: string, value: unknown): boolean {
    const text = JSON.stringify({ name, value, savedAt: this.now() } satisfies Entry);
    if (text.length > LONGEST) {
      this.remove(id);
      return false;
    }
    const others = this.#entries().filter((one) => one.id !== id);
    others.slice(MOST - 1).forEach((one) => this.remove(one.id));
    try {
      this.storage.setItem(this.#prefix + id, text);
      return true;
    } catch {
      return false;
    }
  }

  remove(id: string): void {
    this.storage.removeItem(this.#prefix + id);
  }

  count(): number {
    return this.#entries().length;
  }

  /** Deletes all of the person's drafts. */
  clear(): void {
    this.#entries().forEach(({ id }) => this.remove(id));
  }

  /** Deletes the drafts of all persons that are older than 14 days, and what is not readable. */
  prune(): void {
    for (const key of keysOf(this.storage)) {
      if (!key.startsWith(PREFIX)) continue;
      const entry = read(this.storage.getItem(key));
      if (entry === null || entry.savedAt < this.now() - DAYS_KEPT * DAY) this.storage.removeItem(key);
    }
  }

  #entries(): { id: string; entry: Entry }[] {
    const found = keysOf(this.storage).filter((key) => key.startsWith(this.#prefix)).flatMap((key) => {
      const entry = read(this.storage.getItem(key));
      return entry === null ? [] : [{ id: key.slice(this.#prefix.length), entry }];
    });
    return found.sort((one, other) => other.entry.savedAt - one.entry.savedAt);
  }
}

function keysOf(storage: Storage): string[] {
  return Array.from({ length: storage.length }, (_, index) => storage.key(index)!);
}

function read(text: string | null): Entry | null {
  try {
    const entry = JSON.parse(text ?? "null");
    return typeof entry?.name === "string" && typeof entry.savedAt === "number" ? entry : null;
  } catch {
    return null;
  }
}

const owner = signal<DraftStore | null>(null);

/** Says who is signed in. Until then `useDraft` returns null. */
export function keepDraftsOf(person: string): void {
  const store = new DraftStore(localStorage, person);
  store.prune();
  owner.value = store;
}

/** Deletes the drafts of the person who signs out. What this page has open is not kept any more. */
export function forgetDrafts(): void {
  owner.value?.clear();
  owner.value = null;
}

/** How many drafts there are of the person who is signed in, for the question before they sign out. */
export function draftCount(): number {
  return owner.value?.count() ?? 0;
}

/** A form's draft.
 *
 * - `value` is what is in the form; `change` replaces it.
 * - `key` names the request that sends it (`idempotencyKey`). It stays the same until `discard`, over reloads too, so
 *   that sending the draft again after a lost answer does nothing twice.
 * - `restored` says that the value is from an earlier visit.
 * - `kept` is false while the browser has no room for it.
 * - `discard` empties the form, after it was sent or given up. */
export interface Draft<Value> {
  readonly value: ReadonlySignal<Value>;
  readonly key: string;
  readonly restored: boolean;
  readonly kept: ReadonlySignal<boolean>;
  change(value: Value): void;
  discard(): void;
}

class OpenDraft<Value> implements Draft<Value> {
  readonly value = signal<Value>(undefined as Value);
  readonly kept = signal(true);
  restored = false;
  #release: () => void = () => {};
  #closed = false;

  private constructor(
    private readonly store: DraftStore,
    private readonly name: string,
    private readonly initial: Value,
    public key: string,
  ) {
    this.value.value = initial;
    addEventListener("pagehide", this.#keep);
  }

  /** Takes up the draft that this tab had, or else one that no tab has open, or begins one. */
  static async open<Value>(store: DraftStore, name: string, initial: Value): Promise<OpenDraft<Value>> {
    const mine = sessionStorage.getItem(PREFIX + name);
    for (const { id, value } of store.find(name)) {
      // The tab may be reloading, so that the page before still has its lock for a moment.
      const release = await lock(id, id === mine);
      if (release === null) continue;
      const draft = new OpenDraft(store, name, initial, id);
      draft.#release = release;
      draft.value.value = completed(initial, value);
      draft.restored = true;
      draft.#remember();
      return draft;
    }
    const draft = new OpenDraft(store, name, initial, crypto.randomUUID());
    await draft.#lock();
    return draft;
  }

  change(value: Value): void {
    this.value.value = value;
    this.#keep();
  }

  discard(): void {
    this.store.remove(this.key);
    this.#release();
    this.key = crypto.randomUUID();
    this.restored = false;
    this.value.value = this.initial;
    void this.#lock();
  }

  close(): void {
    removeEventListener("pagehide", this.#keep);
    this.#closed = true;
    this.#release();
  }

  readonly #keep = () => {
    if (owner.peek() !== this.store) return;
    if (JSON.stringify(this.value.peek()) === JSON.stringify(this.initial)) this.store.remove(this.key);
    else this.kept.value = this.store.save(this.key, this.name, this.value.peek());
  };

  async #lock(): Promise<void> {
    this.#remember();
    const release = await lock(this.key, false);
    this.#release = release ?? (() => {});
    if (this.#closed) this.#release();
  }

  #remember(): void {
    sessionStorage.setItem(PREFIX + this.name, this.key);
  }
}

/** What is typed into a form that the browser must not store, as it is a secret. A reload loses it. */
export function unstoredDraft<Value>(initial: Value): Draft<Value> {
  const value = signal(initial);
  let key = crypto.randomUUID();
  return {
    value,
    get key() {
      return key;
    },
    restored: false,
    kept: signal(true),
    change: (changed) => value.value = changed,
    discard() {
      key = crypto.randomUUID();
      value.value = initial;
    },
  };
}

/** Locks a draft for this tab. Returns the function that releases it, or null if another tab has it. */
function lock(id: string, patient: boolean): Promise<(() => void) | null> {
  const options = patient ? { signal: AbortSignal.timeout(LOCK_MILLISECONDS) } : { ifAvailable: true };
  return new Promise((resolve) => {
    navigator.locks.request(PREFIX + id, options, (held) => {
      if (held === null) return resolve(null);
      return new Promise<void>((release) => resolve(release));
    }).catch(() => resolve(null));
  });
}

/** What was stored, with the initial value of each field that it lacks. */
function completed<Value>(initial: Value, stored: unknown): Value {
  if (typeof stored !== typeof initial) return initial;
  return typeof initial === "object" ? { ...initial, ...stored as object } : stored as Value;
}

/** The draft of a form. `name` says which, such as `new-ticket` or `note/tkt_…`; `initial` is the form without any
 * input. Null until the draft has been read, for some milliseconds. */
export function useDraft<Value>(name: string, initial: Value): Draft<Value> | null {
  const [draft, show] = useState<{ name: string; draft: OpenDraft<Value> } | null>(null);
  useEffect(() => {
    let wanted = true;
    let opened: OpenDraft<Value> | undefined;
    const stop = effect(() => {
      const store = owner.value;
      if (store === null || opened !== undefined) return;
      void OpenDraft.open(store, name, initial).then((one) => {
        opened = one;
        if (wanted) show({ name, draft: one });
        else one.close();
      });
    });
    return () => {
      wanted = false;
      stop();
      opened?.close();
    };
  }, [name]);
  return draft?.name === name ? draft.draft : null;
}
