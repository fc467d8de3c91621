/** The theme that the person has chosen, shown before anything is drawn: `build.ts` makes a script of this module, which
 * each page loads first. */

export type Theme = "system" | "light" | "dark";
export const THEMES: readonly Theme[] = ["system", "light", "dark"];

const CHOICE = "callout.theme";

export function chosenTheme(): Theme {
  const chosen = localStorage.getItem(CHOICE);
  return THEMES.find((one) => one === chosen) ?? "system";
}

export function keepTheme(chosen: Theme): void {
  localStorage.setItem(CHOICE, chosen);
}

export function showTheme(shown: Theme): void {
  if (shown === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = shown;
}
