/** How an operation can fail. */

/** An error of the API that is no `userErrors`: `code` is its `extensions.code`. `retryAfter` is in seconds. */
export class ApiError extends Error {
  constructor(message: string, readonly code: string, readonly requestId: string | null, readonly retryAfter?: number) {
    super(message);
  }
}

/** The server could not be reached, or did not answer. The operation may or may not have been carried out. */
export class Unreachable extends Error {}

/** What to show a person of an error. */
export function messageOf(error: unknown): string {
  const suffix = error instanceof ApiError && error.code === "INTERNAL" ? ` (${error.requestId})` : "";
  return (error instanceof Error ? error.message : String(error)) + suffix;
}
