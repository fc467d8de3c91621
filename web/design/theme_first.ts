import { chosenTheme, showTheme } from "./theme_choice.ts";

showTheme(chosenTheme());
