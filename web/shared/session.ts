/** The way to the page that signs people in. */

const LEAVING_MILLISECONDS = 5_000;
let leaving = false;

if (typeof document !== "undefined") {
  addEventListener("beforeunload", () => {
    leaving = true;
    setTimeout(() => leaving = false, LEAVING_MILLISECONDS); // the person may stay after all
  });
}

/** Leaves for the sign-in page, which comes back to where the person is now. Drafts are kept (`drafts.ts`).
 *
 * Does nothing if the page is being left already, as by signing out, which ends the session and its connections. */
export function goToSignIn(): void {
  if (leaving) return;
  const here = location.pathname + location.search;
  location.assign(`/sign-in?next=${encodeURIComponent(here)}`);
}
