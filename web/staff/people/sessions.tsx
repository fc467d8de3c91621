/** The browsers in which a person is signed in, each of which can be signed out. */

import "./people.css";
import "../records/records.css";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { execute, newKey } from "../../shared/client.ts";
import { messageOf } from "../../shared/errors.ts";
import { persistently } from "../../shared/saving.ts";
import { Time } from "../../shared/time.tsx";
import { people as texts } from "../../texts/people.ts";
import { PersonSessions, type PersonSessionsQuery, SessionEnd, SessionFollow } from "../operations.ts";
import { followChanges } from "../records/following.ts";
import { deviceOf } from "./device.ts";

type Session = PersonSessionsQuery["sessions"]["nodes"][number];

interface SessionsOfProps {
  adminId?: string;
  technicianId?: string;
  title: string;
}

export function SessionsOf({ adminId, technicianId, title }: SessionsOfProps) {
  const read = useSignal<PersonSessionsQuery | null>(null);
  const problem = useSignal("");
  const note = useSignal("");

  async function load() {
    try {
      read.value = await persistently(() => execute(PersonSessions, { adminId, technicianId }));
    } catch (error) {
      problem.value = messageOf(error);
    }
  }

  useEffect(() => {
    void load();
    const following = followChanges(SessionFollow, () => true, () => void load());
    return () => following.close();
  }, []);

  async function end(ended: readonly Session[], question: string) {
    if (!confirm(question)) return;
    note.value = problem.value = "";
    try {
      for (const { id } of ended) await endOne(id);
      note.value = texts.sessions.ended(ended.length);
    } catch (error) {
      problem.value = messageOf(error);
    }
    await load();
  }

  const sessions = read.value?.sessions.nodes;
  const here = read.value?.me.session?.id;
  const others = sessions?.filter(({ id }) => id !== here) ?? [];
  const hasHere = others.length < (sessions?.length ?? 0);
  return (
    <section class="card" aria-labelledby="person-sessions">
      <h2 id="person-sessions">{title}</h2>
      {sessions === undefined && problem.value === "" && <div class="skeleton" aria-hidden="true" />}
      {sessions?.length === 0 && <p>{texts.sessions.none}</p>}
      {sessions !== undefined && sessions.length > 0 && (
        <ul class="records">
          {sessions.map((session) => {
            const device = nameOf(session);
            return (
              <li key={session.id} class="session-row">
                <span title={session.userAgent}>
                  <b>{device}</b> {session.id === here && <span class="badge">{texts.sessions.this}</span>}
                  <br />
                  <span class="hint">
                    {texts.sessions.lastUsed} <Time at={session.usedAt} />, {texts.sessions.since}{" "}
                    <Time at={session.createdAt} />
                  </span>
                </span>
                {session.id !== here && (
                  <button
                    type="button"
                    class="button"
                    aria-label={texts.sessions.endOf(device)}
                    onClick={() => void end([session], texts.sessions.endQuestion(device))}
                  >
                    {texts.sessions.end}
                  </button>
                )}
              </li>
            );
          })}
        </ul>
      )}
      <div class="actions">
        {hasHere && others.length > 0 && (
          <button
            type="button"
            class="button danger"
            onClick={() => void end(others, texts.sessions.endOthersQuestion(others.length))}
          >
            {texts.sessions.endOthers}
          </button>
        )}
        <span role="status">{note}</span>
        {problem.value !== "" && <span class="error" role="alert">{problem}</span>}
      </div>
    </section>
  );
}

function nameOf({ userAgent }: Session): string {
  const device = deviceOf(userAgent);
  if (device !== null) return texts.sessions.device(device.browser, device.system);
  return userAgent.slice(0, 60) || texts.sessions.unknown;
}

/** Ends a session. One that has ended already stays so. */
async function endOne(sessionId: string): Promise<void> {
  const input = { sessionId, idempotencyKey: newKey() };
  const { sessionRevoke } = await persistently(() => execute(SessionEnd, { input }));
  const errors = sessionRevoke.userErrors.filter(({ code }) => code !== "NOT_FOUND");
  if (errors.length > 0) throw new Error(errors.map(({ message }) => message).join(" "));
}
