import { upload as english } from "./en/upload.ts";
import { language } from "./language.ts";

export const upload = language === "fr" ? (await import("./fr/upload.ts")).upload : english;
