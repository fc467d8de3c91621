/** What this phone does for the technician: notices, and that it works like an app. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { tech as texts } from "../../texts/tech.ts";
import { online } from "../device/device.ts";
import { findNotices, notices, turnOff, turnOn } from "./notices.ts";

export function ThisPhone() {
  const error = useSignal<string | null>(null);
  const run = (work: Promise<void>) => work.catch((reason: Error) => void (error.value = reason.message));
  useEffect(() => {
    if (online.value) void findNotices().catch(() => {}); // the next visit finds out
  }, [online.value]);
  const installed = matchMedia("(display-mode: standalone)").matches;
  const state = notices.value;
  if (installed && state === "UNAVAILABLE") return null;
  return (
    <section class="card">
      <h2>{texts.phone}</h2>
      {state !== "UNAVAILABLE" && (
        <p role="status">
          {texts.notices[state]}{" "}
          {state === "OFF" && (
            <button type="button" class="button" onClick={() => run(turnOn())}>{texts.turnOn}</button>
          )}
          {state === "ON" && (
            <button type="button" class="button" onClick={() => run(turnOff())}>{texts.turnOff}</button>
          )}
        </p>
      )}
      {!installed && <p class="hint">{texts.install}</p>}
      {error.value !== null && <p class="error" role="alert">{error}</p>}
    </section>
  );
}
