/** The tabs of what gives programs access: their keys, and the webhooks that post to them. */

import { keys as texts } from "../../texts/keys.ts";
import { webhooks as webhookTexts } from "../../texts/webhooks.ts";

const TABS = [["/keys", texts.title], ["/keys/webhooks", webhookTexts.title]] as const;

export function KeyTabs({ current }: { current: typeof TABS[number][0] }) {
  return (
    <nav class="tabs" aria-label={texts.tabs}>
      {TABS.map(([href, name]) => (
        <a key={href} href={href} aria-current={href === current ? "page" : undefined}>{name}</a>
      ))}
    </nav>
  );
}
