/** The way to the page that signs people in, and out again. */

/** Leaves for the sign-in page, which comes back to where the person is now. Drafts are kept (`drafts.ts`). */
export function goToSignIn(): void {
  const here = location.pathname + location.search;
  location.assign(`/sign-in?next=${encodeURIComponent(here)}`);
}
