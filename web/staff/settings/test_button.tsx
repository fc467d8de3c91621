/** A button that sends a test message through a channel, and what has come of it. */

import { useSignal } from "@preact/signals";
import { execute, newKey } from "../../shared/client.ts";
import { messageOf } from "../../shared/errors.ts";
import { persistently } from "../../shared/saving.ts";
import { settings as texts } from "../../texts/settings.ts";
import { SupportSettingsTry, type SupportSettingsTryMutation } from "../operations.ts";

type Result = SupportSettingsTryMutation["supportSettingsTest"]["results"][number];

const WORDS = { EMAIL: texts.email, GOOGLE_CHAT: texts.chat, PUSH: texts.push };

export function TestButton({ channel }: { channel: keyof typeof WORDS }) {
  const words = WORDS[channel];
  const busy = useSignal(false);
  const results = useSignal<readonly Result[]>([]);
  const refusal = useSignal("");

  async function test() {
    if (busy.value) return;
    busy.value = true;
    results.value = [];
    refusal.value = "";
    const input = { channel, idempotencyKey: newKey() };
    try {
      const { supportSettingsTest: tested } = await persistently(() => execute(SupportSettingsTry, { input }));
      results.value = tested.results;
      refusal.value = tested.userErrors.map(({ code, message }) => code === "NOT_ALLOWED" ? words.off : message)
        .join(" ");
    } catch (error) {
      refusal.value = messageOf(error);
    } finally {
      busy.value = false;
    }
  }

  return (
    <div class="channel-test">
      <p class="actions">
        <button type="button" class="button" aria-disabled={busy.value} onClick={() => void test()}>
          {words.test}
        </button>
        <span class="hint">{words.testHint}</span>
      </p>
      <div role="status">
        {busy.value && <p class="hint">{texts.testing}</p>}
        {refusal.value !== "" && <p class="error">{refusal}</p>}
        {results.value.length > 0 && (
          <ul class="test-results">
            {results.value.map(({ recipient, sent, said }, index) => (
              <li key={index} class={sent ? "test-sent" : "error"}>
                <span aria-hidden="true">{sent ? "✓" : "✕"}</span>{" "}
                {sent ? words.sent(recipient ?? "", said) : words.notSent(recipient ?? "", said)}
              </li>
            ))}
          </ul>
        )}
      </div>
    </div>
  );
}
