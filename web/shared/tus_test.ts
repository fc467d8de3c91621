import { assertEquals } from "./testing.ts";
import { pause, PIECE, type Send, upload, UploadRefused } from "./tus.ts";

type Fault = "cut" | "lost answer" | number;

/** A server that has `faults` happen to its first PATCH requests: a number is the status of the answer. */
class TusServer {
  arrived = 0;
  readonly requests: string[] = [];
  readonly waits: number[] = [];

  constructor(readonly faults: (Fault | null)[], readonly retryAfter: string | null = null) {}

  readonly send: Send = async (method, _url, headers, body, progress) => {
    this.requests.push(method);
    if (method === "HEAD") return this.#answer(200);
    const fault = this.faults.shift() ?? null;
    if (Number(headers["Upload-Offset"]) !== this.arrived) return this.#answer(409, false);
    if (typeof fault === "number") return this.#answer(fault, false);
    const bytes = fault === "cut" ? Math.floor(body!.size / 2) : body!.size;
    progress(bytes);
    this.arrived += bytes;
    if (fault !== null) throw new TypeError("Failed to fetch");
    return await this.#answer(204);
  };

  #answer(status: number, offset = true) {
    const headers: Record<string, string | null> = {
      "Upload-Offset": offset ? String(this.arrived) : null,
      "Retry-After": offset ? null : this.retryAfter,
    };
    return Promise.resolve({ status, header: (name: string) => headers[name] ?? null });
  }

  async take(size: number, signal = new AbortController().signal): Promise<number[]> {
    const seen: number[] = [];
    await upload("/uploads/att", new Blob([new Uint8Array(size)]), {
      send: this.send,
      wait: (seconds) => Promise.resolve(void this.waits.push(seconds)),
      progress: (bytes) => seen.push(bytes),
      waiting: () => {},
      signal,
    });
    return seen;
  }
}

async function refusal(of: Promise<unknown>): Promise<UploadRefused> {
  try {
    await of;
  } catch (error) {
    if (error instanceof UploadRefused) return error;
    throw error;
  }
  throw new Error("was not refused");
}

Deno.test("a file goes up piece by piece", async () => {
  const server = new TusServer([]);
  const seen = await server.take(2 * PIECE + 1);
  assertEquals(server.requests, ["HEAD", "PATCH", "PATCH", "PATCH"]);
  assertEquals(seen.at(-1), 2 * PIECE + 1);
});

Deno.test("an empty rest needs no request but the question", async () => {
  const server = new TusServer([]);
  server.arrived = 100;
  await server.take(100);
  assertEquals(server.requests, ["HEAD"]);
});

Deno.test("after a cut, and after a lost answer, it goes on where the server says", async () => {
  const server = new TusServer(["cut", "lost answer"]);
  await server.take(PIECE);
  assertEquals(server.arrived, PIECE);
  assertEquals(server.requests, ["HEAD", "PATCH", "HEAD", "PATCH", "HEAD"]);
});

Deno.test("it waits longer from failure to failure, and as long as the server asks", async () => {
  const cut = new TusServer([503, 503, 503]);
  await cut.take(10);
  assertEquals(cut.waits, [1, 1, 1]);
  const asked = new TusServer([429], "7");
  await asked.take(10);
  assertEquals(asked.waits, [7]);
  assertEquals([pause(0), pause(3), pause(100)], [1, 10, 30]);
});

Deno.test("an upload that another request has overtaken asks at once", async () => {
  const server = new TusServer([409]);
  await server.take(10);
  assertEquals(server.waits, []);
  assertEquals(server.arrived, 10);
});

Deno.test("what is rejected or gone is not tried again", async () => {
  for (const [status, reason] of [[404, "GONE"], [410, "REJECTED"], [422, "REJECTED"], [413, "REFUSED"]] as const) {
    const server = new TusServer([status]);
    assertEquals((await refusal(server.take(10))).reason, reason);
    assertEquals(server.requests, ["HEAD", "PATCH"]);
  }
});

Deno.test("an upload that is stopped asks for nothing more", async () => {
  const server = new TusServer([]);
  const stopped = AbortSignal.abort(new Error("paused"));
  let said = "";
  await server.take(10, stopped).catch((error) => said = error.message);
  assertEquals([said, server.requests], ["paused", []]);
});
