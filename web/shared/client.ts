/** Callout's API, as the console uses it: queries and mutations over HTTP, subscriptions over one WebSocket.
 *
 * The session is a cookie. `X-Requested-With` shows the server that a request comes from a page of its own: a page of
 * another origin cannot send it. */

import { computed, type ReadonlySignal, signal } from "@preact/signals";
import { type Client, createClient } from "graphql-ws";
import type { Document } from "./document.ts";
import { ApiError, Unreachable } from "./errors.ts";
import { pauseOf, sleep } from "./retry.ts";
import { goToSignIn } from "./session.ts";
import { lookForNewVersion, noteRefusal } from "./version.ts";

export { ApiError, Unreachable };

export const OWN_REQUEST = { "X-Requested-With": "callout" };

const ANSWERED_WITHIN = 60_000;

interface Answer<Data> {
  data?: Data | null;
  errors?: { message: string; extensions?: { code?: string } }[];
}

/** Executes a query or mutation and returns its data.
 *
 * Throws `ApiError` if the server refuses it and `Unreachable` if there is no answer; leaves for the sign-in page if the
 * session has ended. */
export async function execute<Data, Variables>(
  document: Document<Data, Variables>,
  variables: Variables,
  signal?: AbortSignal,
): Promise<Data> {
  let response: Response;
  let answer: Answer<Data>;
  try {
    response = await fetch("/graphql", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/graphql-response+json", ...OWN_REQUEST },
      body: JSON.stringify({ query: document, variables }),
      signal: AbortSignal.any([AbortSignal.timeout(ANSWERED_WITHIN), ...(signal ? [signal] : [])]),
    });
    answer = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable("The server cannot be reached.", { cause: error });
  }
  requestId = response.headers.get("X-Request-ID");
  const [first] = answer.errors ?? [];
  if (response.status === 401) goToSignIn();
  if (first !== undefined) {
    noteRefusal(first.extensions?.code ?? "");
    const after = Number(response.headers.get("Retry-After") ?? NaN);
    throw new ApiError(
      first.message,
      first.extensions?.code ?? "UNKNOWN",
      requestId,
      Number.isNaN(after) ? undefined : after,
    );
  }
  return answer.data!;
}

let requestId: string | null = null;

/** The id of the request that was answered last, by which whoever runs the server finds it in its log. */
export function lastRequestId(): string | null {
  return requestId;
}

/** A key by which the server recognises a mutation that is sent again (`idempotencyKey`). */
export function newKey(): string {
  return crypto.randomUUID();
}

/** A URL of the API's, such as that of a file, on this page's own host: the API may know itself by another address. */
export function ownUrl(url: string): string {
  const { pathname, search } = new URL(url, location.origin);
  return pathname + search;
}

const PINGED_EVERY = 12_000;
const PONGED_WITHIN = 6_000;
const ENDED = [4401, 4403];

let client: Client | undefined;
let device: string | undefined;
const isLost = signal(false);
const operations = signal(0);

/** Whether the WebSocket is there, or not needed at the moment. While it is false, what is shown may be out of date. */
export const connected: ReadonlySignal<boolean> = computed(() => !isLost.value || operations.value === 0);

/** Names this device to the server, which then pushes nothing that the device has received already. */
export function nameDevice(id: string): void {
  device = id;
}

function connection(): Client {
  return client ??= connect();
}

/** A client that connects when it is needed, and again after the connection was lost: at once when the browser is online
 * again or the tab comes to the front, where timers had been slow. */
function connect(): Client {
  let socket: WebSocket | undefined;
  let unanswered: ReturnType<typeof setTimeout> | undefined;
  const expectPong = () => {
    clearTimeout(unanswered);
    unanswered = setTimeout(() => made.terminate(), PONGED_WITHIN);
  };
  const made = createClient({
    url: `${location.origin.replace("http", "ws")}/graphql`,
    connectionParams: () => device === undefined ? {} : { deviceId: device },
    lazy: true,
    lazyCloseTimeout: 5_000,
    keepAlive: PINGED_EVERY,
    connectionAckWaitTimeout: 10_000,
    retryAttempts: Infinity,
    retryWait: (failures) => sleep(pauseOf(failures)),
    shouldRetry: (reason) => !(reason instanceof CloseEvent && ENDED.includes(reason.code)),
    on: {
      connected: (opened) => {
        if (socket !== undefined) void lookForNewVersion();
        socket = opened as WebSocket;
        isLost.value = false;
      },
      ping: (received) => received || expectPong(),
      pong: (received) => received && clearTimeout(unanswered),
      closed: (event) => {
        clearTimeout(unanswered);
        isLost.value = !(event instanceof CloseEvent && event.code === 1000);
        if (event instanceof CloseEvent && ENDED.includes(event.code)) goToSignIn();
      },
    },
  });
  addEventListener("offline", () => made.terminate());
  addEventListener("visibilitychange", () => {
    if (document.visibilityState !== "visible" || socket?.readyState !== WebSocket.OPEN) return;
    socket.send('{"type":"ping"}');
    expectPong();
  });
  return made;
}

/** Executes a mutation over the WebSocket, for what belongs to the connection and ends with it, such as presence. */
export function executeLive<Data, Variables extends Record<string, unknown>>(
  document: Document<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  return new Promise((resolve, reject) => {
    connection().subscribe<Data>({ query: document, variables }, {
      next: ({ data, errors }) => data ? resolve(data) : reject(apiError(errors?.[0] ?? { message: "no data" })),
      error: (reason) => reject(errorOf(reason)),
      complete: () => {},
    });
  });
}

/** What a subscription reports. `failed` comes once, and after it nothing. */
export interface Listener<Data> {
  next: (data: Data) => void;
  failed: (error: ApiError) => void;
}

/** Subscribes, and again whenever the connection was lost. Returns the function that ends it. `live.ts` also subscribes
 * again after errors that pass.
 *
 * `variables` is called before each time, so that a subscription goes on after the last cursor. */
export function subscribe<Data, Variables extends Record<string, unknown>>(
  document: Document<Data, Variables>,
  variables: () => Variables,
  listener: Listener<Data>,
): () => void {
  let ended = false;
  const end = () => {
    if (!ended) operations.value--;
    ended = true;
  };
  const fail = (error: ApiError) => {
    if (ended) return;
    end();
    unsubscribe();
    listener.failed(error);
  };
  if (operations.value === 0) isLost.value = false; // the connection was not needed: nothing is missed
  operations.value++;
  const unsubscribe = connection().subscribe<Data>({
    query: document,
    get variables() {
      return variables();
    },
  }, {
    next: ({ data, errors }) => {
      if (ended) return;
      if (data) listener.next(data);
      else if (errors?.[0]) fail(apiError(errors[0]));
    },
    error: (reason) => fail(errorOf(reason)),
    complete: end,
  });
  return () => {
    end();
    unsubscribe();
  };
}

/** The error of an operation, or of the connection that the server has closed for good. */
function errorOf(reason: unknown): ApiError {
  if (Array.isArray(reason)) return apiError(reason[0]);
  return new ApiError("The server has closed the connection.", "UNAVAILABLE", null);
}

function apiError(error: { message: string; extensions?: Record<string, unknown> }): ApiError {
  const { code, retryAfter } = error.extensions ?? {};
  noteRefusal(String(code));
  return new ApiError(
    error.message,
    String(code ?? "UNKNOWN"),
    null,
    typeof retryAfter === "number" ? retryAfter : undefined,
  );
}
