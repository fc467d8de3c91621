import { pauseOf, sleep } from "./retry.ts";

function assert(condition: boolean, message: string): void {
  if (!condition) throw new Error(message);
}

Deno.test("pauses double up to half a minute, and differ by chance", () => {
  const longest = [0, 1, 2, 3, 4, 5, 50].map((failures) => pauseOf(failures, 0));
  assert(String(longest) === "1,2,4,8,16,30,30", String(longest));
  assert(pauseOf(50, 1) === 15, "half of it at least");
});

Deno.test("a pause ends when the browser is online again", async () => {
  const paused = sleep(3_600);
  dispatchEvent(new Event("online"));
  await paused;
});

Deno.test("a pause ends when nobody waits for it any more", async () => {
  const abort = new AbortController();
  const paused = sleep(3_600, abort.signal);
  abort.abort();
  await paused;
});
