import { assertEquals } from "./testing.ts";
import { DraftStore } from "./drafts.ts";

/** Storage in memory, with room for so many characters. */
class Memory implements Storage {
  readonly #items = new Map<string, string>();

  constructor(private readonly room = 5_000_000) {}

  get length(): number {
    return this.#items.size;
  }
  key(index: number): string | null {
    return [...this.#items.keys()][index] ?? null;
  }
  getItem(key: string): string | null {
    return this.#items.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    const used = [...this.#items].reduce((sum, [one, other]) => sum + (one === key ? 0 : other.length), 0);
    if (used + value.length > this.room) throw new DOMException("full", "QuotaExceededError");
    this.#items.set(key, value);
  }
  removeItem(key: string): void {
    this.#items.delete(key);
  }
  clear(): void {
    this.#items.clear();
  }
}

/** A store whose clock goes on by a second with each look. */
function store(storage: Storage, person = "ann", from = 0): DraftStore {
  let now = from;
  return new DraftStore(storage, person, () => now += 1_000);
}

Deno.test("a draft is found again by its name, the newest first", () => {
  const drafts = store(new Memory());
  drafts.save("a", "note", "first");
  drafts.save("b", "note", "second");
  drafts.save("c", "other", "third");
  assertEquals(drafts.find("note"), [{ id: "b", value: "second" }, { id: "a", value: "first" }]);
});

Deno.test("nobody finds another person's draft, nor deletes it by signing out", () => {
  const storage = new Memory();
  store(storage, "ann").save("a", "note", "hers");
  assertEquals(store(storage, "ann/b").find("note"), []);
  store(storage, "a").clear();
  assertEquals(store(storage, "ann").find("note").length, 1);
  store(storage, "ann").clear();
  assertEquals(storage.length, 0);
});

Deno.test("the fifty-first draft replaces the oldest", () => {
  const storage = new Memory();
  const drafts = store(storage);
  for (let number = 0; number <= 50; number++) drafts.save(`${number}`, "note", number);
  assertEquals(storage.length, 50);
  assertEquals(drafts.find("note").some(({ id }) => id === "0"), false);
});

Deno.test("a draft that is too long is not stored, nor is its beginning", () => {
  const storage = new Memory();
  const drafts = store(storage);
  assertEquals(drafts.save("a", "note", "short"), true);
  assertEquals(drafts.save("a", "note", "x".repeat(250_000)), false);
  assertEquals(storage.length, 0);
});

Deno.test("a draft for which there is no room leaves the others", () => {
  const drafts = store(new Memory(200));
  assertEquals(drafts.save("a", "note", "x".repeat(100)), true);
  assertEquals(drafts.save("b", "note", "x".repeat(100)), false);
  assertEquals(drafts.find("note").length, 1);
});

Deno.test("after fourteen days a draft is deleted, and what cannot be read at once", () => {
  const storage = new Memory();
  store(storage).save("a", "note", "old");
  store(storage, "ann", 2 * 86_400_000).save("b", "note", "new");
  storage.setItem("callout.draft/ann/c", "{");
  storage.setItem("another", "{");
  store(storage, "bob", 15 * 86_400_000).prune();
  assertEquals(store(storage).find("note"), [{ id: "b", value: "new" }]);
  assertEquals(storage.getItem("another"), "{");
});
