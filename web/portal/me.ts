/** Who is signed in, and their properties: asked for once, before the first page. */

import { signal } from "@preact/signals";
import { execute } from "../shared/client.ts";
import { PortalMe, type PortalMeQuery } from "./operations.ts";

export type Me = PortalMeQuery["me"];
export type Property = NonNullable<Me["customer"]>["properties"]["nodes"][number];

export const me = signal<Me | null>(null);

/** Asks who is signed in. Throws the errors of `execute`. */
export async function load(): Promise<void> {
  me.value = (await execute(PortalMe, {})).me;
}

export function propertiesOfMine(): Property[] {
  return me.value?.customer?.properties.nodes ?? [];
}
