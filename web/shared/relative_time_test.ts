import { assertEquals } from "./testing.ts";
import { dayAfter, dayOf, relative, startOfDay, timeZone } from "./time.tsx";

const at = (text: string) => Date.parse(text);

Deno.test("yesterday is the day before in the reader's zone, and not whatever is a day and a half ago", () => {
  timeZone.value = "America/Toronto"; // five hours behind
  const now = at("2026-12-03T13:00:00Z");
  assertEquals(relative(at("2026-12-02T12:00:00Z"), now), "yesterday");
  assertEquals(relative(at("2026-12-02T05:00:00Z"), now), "yesterday");
  assertEquals(relative(at("2026-12-02T04:59:00Z"), now), "2 days ago");
  assertEquals(relative(at("2026-12-04T14:00:00Z"), now), "tomorrow");
  timeZone.value = "Asia/Tokyo"; // nine hours ahead
  assertEquals(relative(at("2026-12-02T04:59:00Z"), now), "yesterday");
});

Deno.test("less than a day is hours, also of a day that has twenty-five", () => {
  timeZone.value = "America/Toronto";
  const now = at("2026-11-02T04:30:00Z"); // on the day when the clocks are put back
  assertEquals(relative(at("2026-11-01T04:30:00Z"), now), "24 hours ago");
  assertEquals(relative(now - 23 * 3_600_000, now), "23 hours ago");
  assertEquals(relative(now + 90_000, now), "in 1 minute");
  assertEquals(relative(now - 1_000, now), "now");
});

Deno.test("a day begins at the reader's midnight, in winter and in summer", () => {
  timeZone.value = "America/Toronto";
  assertEquals(startOfDay("2026-12-01"), "2026-12-01T05:00:00.000Z");
  assertEquals(startOfDay("2026-07-01"), "2026-07-01T04:00:00.000Z");
  assertEquals(dayOf(at("2026-12-01T04:59:00Z")), "2026-11-30");
  assertEquals(dayAfter("2026-12-31"), "2027-01-01");
  timeZone.value = "UTC";
  assertEquals(startOfDay("2026-07-01"), "2026-07-01T00:00:00.000Z");
});
