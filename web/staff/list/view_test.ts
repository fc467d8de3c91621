import { assertEquals } from "../../shared/testing.ts";
import { addressOf, filterOf, sortedBy, viewIn } from "./view.ts";

const DEFAULT = viewIn({});

Deno.test("the list begins with all tickets, newest first", () => {
  assertEquals(addressOf(DEFAULT), "/tickets");
  assertEquals([DEFAULT.tab, DEFAULT.sort, DEFAULT.ascending], ["ALL", "CREATED_AT", false]);
  assertEquals(filterOf(DEFAULT, true), {});
});

Deno.test("an address says everything that is shown, and back", () => {
  const address = "/tickets?status=in_progress&q=lobby+camera&priority=urgent&category=cctv&assignee=unassigned" +
    "&sort=reference&order=desc";
  const view = viewIn(Object.fromEntries(new URLSearchParams(address.split("?")[1])));
  assertEquals(addressOf(view), address);
  assertEquals(filterOf(view, true), {
    status: ["IN_PROGRESS"],
    search: "lobby camera",
    priority: ["URGENT"],
    category: ["CCTV"],
    assignee: { unassigned: true },
  });
  assertEquals(filterOf(view, false).status, undefined);
});

Deno.test("what an address says wrongly is as if it were absent", () => {
  assertEquals(viewIn({ status: "lost", priority: "", sort: "id", category: "42" }), DEFAULT);
});

Deno.test("a header sorts, and reverses when it is clicked again", () => {
  const byReference = sortedBy(DEFAULT, "REFERENCE");
  assertEquals([byReference.sort, byReference.ascending], ["REFERENCE", true]);
  assertEquals(sortedBy(byReference, "REFERENCE").ascending, false);
  assertEquals(sortedBy(byReference, "CREATED_AT"), DEFAULT);
  assertEquals(addressOf(sortedBy(DEFAULT, "CREATED_AT")), "/tickets?order=asc");
});
