import type { version as english } from "../en/version.ts";
import type { Translated } from "../language.ts";

export const version: Translated<typeof english> = {
  isThere: "Il y a une nouvelle version.",
  kept: "Ce que vous avez écrit est conservé.",
  load: "La charger",
};
