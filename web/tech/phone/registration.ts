/** The service worker, which lets the pages begin without a connection and shows notices. */

const SCRIPT = "/tech/service-worker.js";

/** Registers it. Where the browser has none, or refuses, the pages need a connection to begin. */
export function registerServiceWorker(): void {
  navigator.serviceWorker?.register(SCRIPT, { scope: "/tech" }).catch(() => {});
}
