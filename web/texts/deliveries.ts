import { deliveries as english } from "./en/deliveries.ts";
import { language } from "./language.ts";

export const deliveries = language === "fr" ? (await import("./fr/deliveries.ts")).deliveries : english;
