import { assertEquals } from "./testing.ts";
import { ApiError, Unreachable } from "./errors.ts";
import { persistently, retryAfter } from "./saving.ts";

Deno.test("a lost answer and a busy server are worth another attempt, a refusal is not", () => {
  assertEquals(retryAfter(new Unreachable(), 0), 1);
  assertEquals(retryAfter(new Unreachable(), 50), 10);
  assertEquals(retryAfter(new ApiError("", "BUSY", null), 1), 2);
  assertEquals(retryAfter(new ApiError("", "RATE_LIMITED", null, 30), 0), 30);
  assertEquals(retryAfter(new ApiError("", "FORBIDDEN", null), 0), null);
  assertEquals(retryAfter(new TypeError("a fault of ours"), 0), null);
});

Deno.test("an error that will come again is thrown at once", async () => {
  let attempts = 0;
  const waits: boolean[] = [];
  const attempt = () => {
    attempts++;
    return Promise.reject(new ApiError("no", "FORBIDDEN", null));
  };
  const said = await persistently(attempt, (one) => waits.push(one)).catch((error) => error.message);
  assertEquals([said, attempts, waits], ["no", 1, [false]]);
});
