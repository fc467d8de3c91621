import { shell as english } from "./en/shell.ts";
import { language } from "./language.ts";

export const shell = language === "fr" ? (await import("./fr/shell.ts")).shell : english;
