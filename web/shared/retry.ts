/** When to try again what has failed because the server could not be reached, or was busy. */

const FIRST_PAUSE = 1;
const LONGEST_PAUSE = 30;

/** Seconds to wait after so many failures in a row: twice as long each time, up to half a minute, and by chance up to a
 * half less, so that the clients of a server that restarts do not all come back at once. */
export function pauseOf(failures: number, chance = Math.random()): number {
  return Math.min(FIRST_PAUSE * 2 ** failures, LONGEST_PAUSE) * (1 - chance / 2);
}

/** Waits so many seconds, but not beyond the moment when the browser is online again or the tab comes to the front. */
export function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      removeEventListener("visibilitychange", seen);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const seen = () => document.visibilityState === "visible" && end();
    const timer = setTimeout(end, seconds * 1_000);
    addEventListener("online", end);
    addEventListener("visibilitychange", seen);
    signal?.addEventListener("abort", end);
  });
}
