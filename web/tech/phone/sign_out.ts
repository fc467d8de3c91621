/** What is deleted from the phone when the session ends. */

import { draftCount, forgetDrafts } from "../../shared/drafts.ts";
import { beforeSignIn, goToSignIn } from "../../shared/session.ts";
import { tech as texts } from "../../texts/tech.ts";
import { queue, wipe } from "../device/device.ts";
import { forgetMe } from "../me.ts";
import { turnOff } from "./notices.ts";

/** Deletes the copy when the server says that the session has ended, or that the technician has no access any more. What
 * has not been sent stays for when they sign in again. */
export function wipeWhenSessionEnds(): void {
  beforeSignIn(() => {
    forgetMe();
    return wipe("COPY");
  });
}

/** Signs out and deletes everything, after a question if something would be lost. Without a connection nothing
 * happens but a message: the session would go on. */
export async function signOut(): Promise<void> {
  const reachable = await fetch("/tech", { method: "HEAD", cache: "no-store" }).then(() => true, () => false);
  if (!reachable) return alert(texts.cannotSignOut);
  const lost = queue.value.length + draftCount();
  if (lost > 0 && !confirm(texts.losesUnsent(lost))) return;
  await turnOff().catch(() => {});
  beforeSignIn(() => {
    forgetDrafts();
    forgetMe();
    return wipe("ALL");
  });
  const answer = await fetch("/sign-out", { method: "POST", redirect: "manual" }).catch(() => null);
  if (answer?.type === "opaqueredirect") return goToSignIn();
  wipeWhenSessionEnds();
  alert(texts.cannotSignOut);
}
