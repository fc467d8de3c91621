/** Files on their way to a ticket: announced, uploaded piece by piece, paused, gone on with, given up.
 *
 * The key of the announcement is made from the file and the ticket. So the same file, chosen again after the page was
 * left in the middle of it, is the same attachment, and the upload goes on where it was. */

import { type ReadonlySignal, signal } from "@preact/signals";
import { execute, newKey, ownUrl, Unreachable } from "./client.ts";
import { askBeforeLeaving } from "./leaving.ts";
import { UploadAnnounce, type UploadAnnounceMutation } from "./operations.ts";
import { pause, type Send, upload, UploadRefused, type Wait } from "./tus.ts";

/** `PREPARING`: the file is read and announced; `WAITING`: the connection is lost, or others are uploaded first. */
export type UploadState = "PREPARING" | "WAITING" | "UPLOADING" | "PAUSED" | "DONE" | "FAILED";

/** Where a file goes. `internalOnly` counts for staff only. */
export interface Target {
  ticketId: string;
  noteId?: string;
  internalOnly?: boolean;
}

/** Why an upload has failed: the server's own words, or what kind of failure it is. */
export type Failure = { message: string } | { kind: "EMPTY" | "UNREADABLE" | "REJECTED" | "REFUSED" };

const AT_ONCE = 2;

/** One file on its way. */
export class FileUpload {
  readonly id = newKey();
  readonly state = signal<UploadState>("WAITING");
  /** Bytes that have arrived, or are on their way. */
  readonly sent = signal(0);
  readonly failure = signal<Failure | null>(null);
  attachmentId: string | null = null;
  #url: string | null = null;
  #control = new AbortController();

  constructor(readonly file: File, readonly target: Target) {}

  /** Uploads what is not there yet. Never throws: `state` and `failure` say how it ends. */
  async run(): Promise<void> {
    this.#control = new AbortController();
    this.failure.value = null;
    this.state.value = "PREPARING";
    try {
      if (this.file.size === 0) throw new Refusal({ kind: "EMPTY" });
      await this.#transfer(await digestOf(this.file));
      this.state.value = "DONE";
    } catch (error) {
      if (this.#control.signal.aborted) return;
      this.failure.value = failureOf(error);
      this.state.value = "FAILED";
    }
  }

  pause(): void {
    this.state.value = "PAUSED";
    this.#control.abort();
  }

  /** Gives the upload up. The server forgets what has arrived. */
  async cancel(): Promise<void> {
    this.pause();
    if (this.#url === null) return;
    const never = new AbortController().signal;
    await send("DELETE", this.#url, { "Tus-Resumable": "1.0.0" }, null, () => {}, never).catch(() => {});
  }

  async #transfer(digest: string): Promise<void> {
    for (const key of [await keyOf(this.file, this.target, digest), newKey()]) {
      const done = await this.#announce(digest, key);
      if (done) return;
      if (this.#url === null) continue;
      try {
        this.state.value = "UPLOADING";
        return await upload(this.#url, this.file, {
          send,
          wait,
          progress: (bytes) => this.sent.value = bytes,
          waiting: (waits) => {
            if (!this.#control.signal.aborted) this.state.value = waits ? "WAITING" : "UPLOADING";
          },
          signal: this.#control.signal,
        });
      } catch (error) {
        if (!(error instanceof UploadRefused && error.reason === "GONE")) throw error;
      }
    }
    throw new Refusal({ kind: "REFUSED" });
  }

  /** Announces the file, for as long as it takes to be heard. Returns whether it has arrived already. */
  async #announce(digest: string, idempotencyKey: string): Promise<boolean> {
    const { signal } = this.#control;
    const input = {
      ...this.target,
      name: this.file.name,
      contentType: this.file.type || "application/octet-stream",
      size: this.file.size,
      sha256: digest,
      idempotencyKey,
    };
    for (let failures = 0;; failures++) {
      signal.throwIfAborted();
      try {
        const answer = await execute(UploadAnnounce, { input }, signal);
        return this.#announced(answer.attachmentCreate);
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error;
        this.state.value = "WAITING";
        await wait(pause(failures), signal);
      }
    }
  }

  #announced({ attachment, uploadUrl, userErrors }: UploadAnnounceMutation["attachmentCreate"]): boolean {
    const [first] = userErrors;
    if (first !== undefined) throw new Refusal({ message: first.message });
    this.attachmentId = attachment?.id ?? null;
    this.#url = uploadUrl === null ? null : ownUrl(uploadUrl);
    return uploadUrl === null && (attachment?.state === "READY" || attachment?.state === "SCANNING");
  }
}

class Refusal extends Error {
  constructor(readonly failure: Failure) {
    super();
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof Refusal) return error.failure;
  if (error instanceof UploadRefused) return { kind: error.reason === "REJECTED" ? "REJECTED" : "REFUSED" };
  if (error instanceof DOMException && error.name === "NotReadableError") return { kind: "UNREADABLE" };
  return { message: error instanceof Error ? error.message : String(error) };
}

/** The files on their way from a page, two at a time. */
export class Uploads {
  readonly #files = signal<readonly FileUpload[]>([]);
  readonly files: ReadonlySignal<readonly FileUpload[]> = this.#files;

  /** `done` is called with each file that has arrived. */
  constructor(private readonly done: (file: FileUpload) => void = () => {}) {
    askBeforeLeaving(() => this.#files.value.some(({ state }) => state.value !== "DONE" && state.value !== "FAILED"));
  }

  add(files: Iterable<File>, target: Target): void {
    const added = [...files].map((file) => new FileUpload(file, target));
    this.#files.value = [...this.#files.value, ...added];
    this.#next();
  }

  resume(file: FileUpload): void {
    file.state.value = "WAITING";
    this.#start(file);
  }

  /** Takes a file off the list, and gives its upload up if it is not done. */
  remove(file: FileUpload): void {
    this.#files.value = this.#files.value.filter((one) => one !== file);
    if (file.state.value !== "DONE") void file.cancel();
    this.#next();
  }

  readonly #started = new Set<FileUpload>();

  #next(): void {
    const waiting = this.#files.value.filter((one) => one.state.value === "WAITING" && !this.#started.has(one));
    waiting.slice(0, Math.max(0, AT_ONCE - this.#started.size)).forEach((file) => this.#start(file));
  }

  #start(file: FileUpload): void {
    this.#started.add(file);
    void file.run().then(() => {
      this.#started.delete(file);
      if (file.state.value === "DONE") this.done(file);
      this.#next();
    });
  }
}

async function digestOf(file: File): Promise<string> {
  return hex(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
}

async function keyOf(file: File, target: Target, digest: string): Promise<string> {
  const parts = [digest, file.name, file.type, target.ticketId, target.noteId ?? null, target.internalOnly ?? null];
  return `file-${hex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(JSON.stringify(parts))))}`;
}

function hex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** By XMLHttpRequest, as `fetch` does not say how much of a body was sent. */
const send: Send = (method, url, headers, body, progress, signal) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    Object.entries(headers).forEach(([name, value]) => request.setRequestHeader(name, value));
    const stop = () => request.abort();
    signal.addEventListener("abort", stop);
    request.upload.onprogress = ({ loaded }) => progress(loaded);
    request.onload = () => resolve({ status: request.status, header: (name) => request.getResponseHeader(name) });
    request.onerror = request.onabort = () => reject(new TypeError("no answer"));
    request.onloadend = () => signal.removeEventListener("abort", stop);
    request.send(body);
  });

/** Waits, but not beyond the moment when the browser is online again. */
const wait: Wait = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      signal.removeEventListener("abort", end);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(end, seconds * 1_000);
    addEventListener("online", end);
    signal.addEventListener("abort", end);
  });
