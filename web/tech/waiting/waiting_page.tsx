/** All that has not been sent, and what needs the technician's decision. */

import { tech as texts } from "../../texts/tech.ts";
import { queue } from "../device/device.ts";
import { Page } from "../page.tsx";
import { Entries } from "./entries.tsx";

export function WaitingPage() {
  return (
    <Page title={texts.waitingTitle}>
      {queue.value.length === 0 && (
        <div class="empty">
          <p class="empty-title">{texts.nothingWaits}</p>
          <p>{texts.nothingWaitsText}</p>
        </div>
      )}
      <Entries entries={queue.value} />
      <p>
        <a class="button" href="/tech">{texts.back}</a>
      </p>
    </Page>
  );
}
