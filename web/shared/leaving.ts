import { effect } from "@preact/signals";

/** Has the browser ask before the page is closed or loaded anew, whenever `busy` is true: something is on its way that
 * would be lost. Other pages of the console can be opened meanwhile. `busy` reads signals. */
export function askBeforeLeaving(busy: () => boolean): void {
  const ask = (event: BeforeUnloadEvent) => event.preventDefault();
  effect(() => {
    if (busy()) addEventListener("beforeunload", ask);
    else removeEventListener("beforeunload", ask);
  });
}
