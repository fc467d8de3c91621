/** The theme: the system's, unless the person has chosen. */

import { signal } from "@preact/signals";
import { chosenTheme, keepTheme, showTheme, type Theme, THEMES } from "./theme_choice.ts";

export { type Theme, THEMES };

export const theme = signal<Theme>("system");

/** Reads the theme that was chosen earlier. */
export function restoreTheme(): void {
  theme.value = chosenTheme();
}

export function chooseTheme(chosen: Theme): void {
  keepTheme(chosen);
  theme.value = chosen;
  showTheme(chosen);
}
