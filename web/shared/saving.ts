/** Changes that are saved although the connection is lost in the middle: sent again, with the same key, until the server
 * answers. */

import { ApiError, Unreachable } from "./errors.ts";
import { sleep } from "./retry.ts";

/** Errors of the API after which nothing was done, and the same may succeed later. */
const LATER = ["BUSY", "TIMEOUT", "UNAVAILABLE", "AUTHENTICATION_UNAVAILABLE", "RATE_LIMITED"];
const PAUSES = [1, 2, 5, 10];

/** The seconds after which to try again after so many failures; null if the error will come again. */
export function retryAfter(error: unknown, failures: number): number | null {
  const pause = PAUSES[Math.min(failures, PAUSES.length - 1)]!;
  if (error instanceof Unreachable) return pause;
  if (error instanceof ApiError && LATER.includes(error.code)) return Math.max(error.retryAfter ?? 0, pause);
  return null;
}

/** Tries until the server has answered, and returns its answer. `attempt` must have one effect however often it is
 * carried out. `waiting` gets true while the server cannot be reached. Throws an error that will come again. */
export async function persistently<Answer>(
  attempt: () => Promise<Answer>,
  waiting: (waits: boolean) => void = () => {},
): Promise<Answer> {
  for (let failures = 0;; failures++) {
    try {
      const answer = await attempt();
      waiting(false);
      return answer;
    } catch (error) {
      const seconds = retryAfter(error, failures);
      waiting(seconds !== null);
      if (seconds === null) throw error;
      await sleep(seconds);
    }
  }
}
