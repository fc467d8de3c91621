import { chosenIn, listAddress, type ListFilter } from "./filters.tsx";
import { assertEquals } from "../../shared/testing.ts";

const FILTERS: readonly ListFilter[] = [
  { name: "state", label: "", kind: "choice", all: "", options: [["DEAD", ""], ["SENT", ""]], initial: "DEAD" },
  { name: "actor", label: "", kind: "line" },
  { name: "from", label: "", kind: "day" },
];

Deno.test("a list's address says what is chosen, and nothing that holds anyway", () => {
  const cases = [
    ["/list", { state: "DEAD" }],
    ["/list?state=sent&actor=key_1", { state: "SENT", actor: "key_1" }],
    ["/list?state=all&from=2026-12-01", { from: "2026-12-01" }],
  ] as const;
  for (const [address, chosen] of cases) {
    assertEquals(listAddress("/list", "", FILTERS, chosen), address);
    const query = Object.fromEntries(new URLSearchParams(address.split("?")[1] ?? ""));
    assertEquals(chosenIn(query, FILTERS), chosen);
  }
});

Deno.test("what a list's address has that nobody knows is as if it were absent", () => {
  assertEquals(chosenIn({ state: "lost", from: "yesterday", actor: "  " }, FILTERS), { state: "DEAD" });
});
