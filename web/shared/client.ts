/** Callout's API, as the console uses it: queries and mutations over HTTP, subscriptions over one WebSocket.
 *
 * The session is a cookie. `X-Requested-With` shows the server that a request comes from a page of its own: a page of
 * another origin cannot send it. */

import { type ReadonlySignal, signal } from "@preact/signals";
import { type Client, createClient } from "graphql-ws";
import type { Document } from "./document.ts";
import { ApiError, Unreachable } from "./errors.ts";
import { goToSignIn } from "./session.ts";

export { ApiError, Unreachable };

export const OWN_REQUEST = { "X-Requested-With": "callout" };

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
      signal: signal ?? null,
    });
    answer = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable("The server cannot be reached.", { cause: error });
  }
  const [first] = answer.errors ?? [];
  if (response.status === 401) goToSignIn();
  if (first !== undefined) {
    const after = Number(response.headers.get("Retry-After") ?? NaN);
    throw new ApiError(
      first.message,
      first.extensions?.code ?? "UNKNOWN",
      response.headers.get("X-Request-ID"),
      Number.isNaN(after) ? undefined : after,
    );
  }
  return answer.data!;
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

let socket: Client | undefined;
const isConnected = signal(true);

/** Whether the WebSocket is there, or not needed at the moment. While it is false, what is shown may be out of date. */
export const connected: ReadonlySignal<boolean> = isConnected;

function connection(): Client {
  socket ??= createClient({
    url: `${location.origin.replace("http", "ws")}/graphql`,
    lazy: true,
    lazyCloseTimeout: 5_000,
    keepAlive: 12_000,
    retryAttempts: Infinity,
    shouldRetry: () => true,
    on: {
      connected: () => isConnected.value = true,
      closed: (event) => {
        isConnected.value = event instanceof CloseEvent && event.code === 1000;
        if (event instanceof CloseEvent && (event.code === 4401 || event.code === 4403)) goToSignIn();
      },
    },
  });
  return socket;
}

/** Executes a mutation over the WebSocket, for what belongs to the connection and ends with it, such as presence. */
export function executeLive<Data, Variables extends Record<string, unknown>>(
  document: Document<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  return new Promise((resolve, reject) => {
    connection().subscribe<Data>({ query: document, variables }, {
      next: ({ data, errors }) => data ? resolve(data) : reject(apiError(errors?.[0] ?? { message: "no data" })),
      error: (errors) => reject(Array.isArray(errors) ? apiError(errors[0]) : new Unreachable(String(errors))),
      complete: () => {},
    });
  });
}

/** What a subscription reports. `failed` comes once, and after it nothing. */
export interface Listener<Data> {
  next: (data: Data) => void;
  failed: (error: ApiError) => void;
}

/** Subscribes, and again whenever the connection was lost. Returns the function that ends it.
 *
 * `variables` is called before each time, so that a subscription goes on after the last cursor. */
export function subscribe<Data, Variables extends Record<string, unknown>>(
  document: Document<Data, Variables>,
  variables: () => Variables,
  listener: Listener<Data>,
): () => void {
  return connection().subscribe<Data>({
    query: document,
    get variables() {
      return variables();
    },
  }, {
    next: ({ data, errors }) => {
      if (data) listener.next(data);
      else if (errors?.[0]) listener.failed(apiError(errors[0]));
    },
    error: (errors) => {
      if (Array.isArray(errors)) listener.failed(apiError(errors[0]));
    },
    complete: () => {},
  });
}

function apiError(error: { message: string; extensions?: Record<string, unknown> }): ApiError {
  return new ApiError(error.message, String(error.extensions?.code ?? "UNKNOWN"), null);
}
