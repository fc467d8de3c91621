/** Uploads a file by the tus protocol 1.0 (https://tus.io/protocols/resumable-upload), as `docs/attachments.md` has it:
 * piece by piece, and after each failure from where the server says. */

/** The bytes of a body. A cut loses no more than this on the way through a proxy that keeps bodies back. */
export const PIECE = 2 * 1024 * 1024;
const PAUSES = [1, 2, 5, 10, 20, 30];

/** Sends a request and returns its answer; throws if there is none. `progress` gets the bytes of the body sent so far. */
export type Send = (
  method: "HEAD" | "PATCH" | "DELETE",
  url: string,
  headers: Record<string, string>,
  body: Blob | null,
  progress: (bytes: number) => void,
  signal: AbortSignal,
) => Promise<{ status: number; header: (name: string) => string | null }>;

/** Why an upload cannot go on. `GONE`: its URL is not valid any more. */
export class UploadRefused extends Error {
  constructor(readonly reason: "GONE" | "REJECTED" | "REFUSED", readonly status: number) {
    super(`${reason} (${status})`);
  }
}

/** Waits so many seconds. The function that is given may end sooner, as when the network is there again. */
export type Wait = (seconds: number, signal: AbortSignal) => Promise<void>;

export interface Course {
  send: Send;
  wait: Wait;
  /** Gets the bytes that have arrived or are on their way. */
  progress: (bytes: number) => void;
  /** Gets whether the connection is lost, or the server asks to wait. */
  waiting: (waits: boolean) => void;
  signal: AbortSignal;
}

/** Uploads what the server does not have yet. Throws `UploadRefused`, and the signal's reason once it is aborted. */
export async function upload(url: string, file: Blob, course: Course): Promise<void> {
  let offset: number | null = null;
  for (let failures = 0; offset === null || offset < file.size;) {
    course.signal.throwIfAborted();
    const outcome: number | Delay = await step(url, file, offset, course);
    if (typeof outcome === "number") {
      offset = outcome;
      failures = 0;
      course.progress(offset);
      course.waiting(false);
      continue;
    }
    offset = null;
    if (outcome.seconds === 0) continue;
    course.waiting(true);
    await course.wait(outcome.seconds ?? pause(failures++), course.signal);
  }
}

/** How long to wait before the next question, in seconds; null if nobody has said. */
interface Delay {
  seconds: number | null;
}

/** Asks how much has arrived, or sends the next piece. Returns the offset that is reached, or how long to wait. */
async function step(url: string, file: Blob, offset: number | null, course: Course): Promise<number | Delay> {
  let answer: Awaited<ReturnType<Send>>;
  try {
    answer = offset === null
      ? await course.send("HEAD", url, TUS, null, () => {}, course.signal)
      : await sendPiece(url, file, offset, course);
  } catch (error) {
    if (course.signal.aborted) throw error;
    return { seconds: null };
  }
  const reached = number(answer.header("Upload-Offset"));
  if (reached !== null && (answer.status === 200 || answer.status === 204)) return reached;
  refuse(answer.status);
  return { seconds: answer.status === 409 ? 0 : number(answer.header("Retry-After")) };
}

function sendPiece(url: string, file: Blob, offset: number, { send, progress, signal }: Course): ReturnType<Send> {
  const headers = { ...TUS, "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" };
  return send("PATCH", url, headers, file.slice(offset, offset + PIECE), (sent) => progress(offset + sent), signal);
}

function number(header: string | null): number | null {
  return header === null || Number.isNaN(Number(header)) ? null : Number(header);
}

const TUS = { "Tus-Resumable": "1.0.0" };

/** Throws if the status means that trying again is of no use. */
function refuse(status: number): void {
  if (status === 404) throw new UploadRefused("GONE", status);
  if (status === 410 || status === 422) throw new UploadRefused("REJECTED", status);
  const again = status === 408 || status === 409 || status === 429 || status >= 500 || status === 200 || status === 204;
  if (!again) throw new UploadRefused("REFUSED", status);
}

/** Seconds to wait after so many failures in a row. */
export function pause(failures: number): number {
  return PAUSES[Math.min(failures, PAUSES.length - 1)]!;
}
