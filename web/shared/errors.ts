/** How an operation can fail. */

/** An error of the API that is no `userErrors`: `code` is its `extensions.code`. `retryAfter` is in seconds. */
export class ApiError extends Error {
  constructor(message: string, readonly code: string, readonly requestId: string | null, readonly retryAfter?: number) {
    super(message);
  }
}

/** The server could not be reached, or did not answer. The operation may or may not have been carried out. */
export class Unreachable extends Error {}
