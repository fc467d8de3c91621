/** The theme: the system's, unless the person has chosen. It is set before anything is drawn. */

import { signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
export const THEMES: readonly Theme[] = ["system", "light", "dark"];

const CHOICE = "callout.theme";

export const theme = signal<Theme>("system");

/** Shows the theme that was chosen earlier. */
export function restoreTheme(): void {
  const chosen = localStorage.getItem(CHOICE);
  show(THEMES.find((one) => one === chosen) ?? "system");
}

export function chooseTheme(chosen: Theme): void {
  localStorage.setItem(CHOICE, chosen);
  show(chosen);
}

function show(chosen: Theme): void {
  theme.value = chosen;
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}
