/** The steps of an assignment: large buttons, the usual one first. */

import { useSignal } from "@preact/signals";
import { tech as texts } from "../../texts/tech.ts";
import { act, now } from "../device/device.ts";
import type { AssignmentState } from "../operations.ts";
import { nextSteps } from "../tickets/order.ts";

const ETA_MINUTES = [15, 30, 45, 60, 90, 120];
const TAPPED_TWICE_MILLISECONDS = 700;

interface StepsProps {
  assignment: { id: string; state: AssignmentState };
}

export function Steps({ assignment }: StepsProps) {
  const error = useSignal<string | null>(null);
  const busy = useSignal(false);
  const declining = useSignal(false);
  const reason = useSignal("");
  const eta = useSignal("");
  const steps = nextSteps(assignment.state);
  if (steps.length === 0) return null;

  async function take(to: typeof steps[number]) {
    busy.value = true;
    const given = {
      assignmentId: assignment.id,
      to,
      ...(to === "DECLINED" && { reason: reason.value }),
      ...(to === "EN_ROUTE" && eta.value !== "" && { eta: inMinutes(Number(eta.value)) }),
    };
    try {
      await act("assignment", given);
      error.value = null;
      declining.value = false;
    } catch (failure) {
      error.value = (failure as Error).message;
    } finally {
      // The next step takes the place of this one, and a second tap of the same finger must not take it.
      setTimeout(() => busy.value = false, TAPPED_TWICE_MILLISECONDS);
    }
  }

  if (declining.value) {
    return (
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void take("DECLINED");
        }}
      >
        <label class="field">
          <span>{texts.reason}</span>
          <textarea
            rows={2}
            required
            maxLength={500}
            value={reason}
            onInput={(event) => reason.value = event.currentTarget.value}
          />
        </label>
        <div class="actions">
          <button type="submit" class="button danger" disabled={busy.value}>{texts.decline}</button>
          <button type="button" class="button" onClick={() => declining.value = false}>{texts.cancel}</button>
        </div>
      </form>
    );
  }
  return (
    <div class="steps">
      {steps.includes("EN_ROUTE") && (
        <label class="field">
          <span>{texts.eta}</span>
          <select value={eta} onChange={(event) => eta.value = event.currentTarget.value}>
            <option value="">{texts.etaNone}</option>
            {ETA_MINUTES.map((minutes) => <option key={minutes} value={minutes}>{texts.etaIn(minutes)}</option>)}
          </select>
        </label>
      )}
      {steps.map((step, index) => (
        <button
          key={step}
          type="button"
          class={index === 0 ? "button primary" : step === "DECLINED" ? "button danger" : "button"}
          disabled={busy.value}
          onClick={() => step === "DECLINED" ? declining.value = true : void take(step)}
        >
          {step === assignment.state ? texts.newEta : texts.steps[step]}
        </button>
      ))}
      {error.value !== null && <p class="error" role="alert">{error}</p>}
    </div>
  );
}

function inMinutes(minutes: number): string {
  return new Date(now().getTime() + minutes * 60_000).toISOString();
}
