/** The way to the page that signs people in. */

const LEAVING_MILLISECONDS = 5_000;
let leaving = false;

if (typeof document !== "undefined") {
  addEventListener("beforeunload", () => {
    leaving = true;
    setTimeout(() => leaving = false, LEAVING_MILLISECONDS); // the person may stay after all
  });
}

let before: () => Promise<void> = () => Promise.resolve();

/** Has `work` done before the page is left because the session has ended. */
export function beforeSignIn(work: () => Promise<void>): void {
  before = work;
}

/** Leaves for the sign-in page, which comes back to where the person is now. Drafts are kept (`drafts.ts`).
 *
 * Does nothing if the page is being left already, as by signing out, which ends the session and its connections. */
export function goToSignIn(): void {
  if (leaving) return;
  leaving = true;
  const here = location.pathname + location.search;
  const leave = () => location.assign(`/sign-in?next=${encodeURIComponent(here)}`);
  before().then(leave, leave);
}
