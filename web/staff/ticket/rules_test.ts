import { assertEquals } from "../../shared/testing.ts";
import { afterStale, filesOf, isPicture, merged, newer, others, sizeOf, statusesOf, upserted } from "./rules.ts";

Deno.test("a change is tried again if somebody has changed something else, and never over another's change", () => {
  assertEquals(afterStale("LOW", "HIGH", "LOW"), "RETRY");
  assertEquals(afterStale("LOW", "HIGH", "HIGH"), "DONE");
  assertEquals(afterStale("LOW", "HIGH", "URGENT"), "CONFLICT");
});

Deno.test("an older state that arrives late is not shown", () => {
  assertEquals(newer({ version: 3 }, { version: 2 }).version, 3);
  assertEquals(newer({ version: 3, name: "old" }, { version: 3, name: "new" }).name, "new");
});

Deno.test("what arrives twice is shown once", () => {
  const [a, b] = [{ id: "a", text: "1" }, { id: "b", text: "1" }];
  assertEquals(upserted([a, b], { id: "a", text: "2" }).map(({ text }) => text), ["2", "1"]);
  assertEquals(upserted([a], b).length, 2);
});

Deno.test("lists that were read at different times become one, in order", () => {
  const [a, b, c] = [{ id: "a", at: "1" }, { id: "b", at: "2" }, { id: "c", at: "2" }];
  assertEquals(merged([b], [a, b, c], ({ at }) => at), [a, b, c]);
  assertEquals(merged([c], [a, b], ({ at }) => at), [a, b, c]);
});

Deno.test("a file that is ready does not become one that is being checked", () => {
  const [scanning, ready] = [{ id: "a", state: "SCANNING" }, { id: "a", state: "READY" }];
  assertEquals(filesOf([ready], [scanning]), [ready]);
  assertEquals(filesOf([scanning], [ready]), [ready]);
  assertEquals(filesOf([ready], []), []);
});

Deno.test("the dropdown offers the ticket's own status and the allowed ones, in order", () => {
  const all = ["OPEN", "IN_PROGRESS", "RESOLVED", "CLOSED"];
  assertEquals(statusesOf(all, "OPEN", ["CLOSED", "IN_PROGRESS"]), ["OPEN", "IN_PROGRESS", "CLOSED"]);
});

Deno.test("others are shown, those who edit first", () => {
  const present = (["a", "b", "me"] as const).map((id, index) => ({
    state: index === 1 ? "EDITING" as const : "VIEWING" as const,
    viewer: { id, name: id },
  }));
  assertEquals(others(present, "me").map(({ viewer }) => viewer.id), ["b", "a"]);
});

Deno.test("sizes are short", () => {
  assertEquals([0, 999, 1_000, 2_400_000, 26_214_400, 5e12].map((one) => sizeOf(one, "en-CA")), [
    "0 B",
    "999 B",
    "1 KB",
    "2.4 MB",
    "26 MB",
    "5,000 GB",
  ]);
});

Deno.test("only pictures that browsers show are shown", () => {
  assertEquals(["image/png", "image/svg+xml", "text/html", "image/tiff"].map(isPicture), [true, false, false, false]);
});
