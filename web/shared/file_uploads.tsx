/** The files on their way to a ticket, with their progress, and the ways to add some: a button, drag and drop, paste. */

import { useEffect, useRef } from "preact/hooks";
import { upload as texts } from "../texts/upload.ts";
import type { Failure, FileUpload, Uploads } from "./upload.ts";

/** A button that lets people choose files. */
export function FileButton({ add }: { add: (files: File[]) => void }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" class="button" onClick={() => input.current!.click()}>{texts.choose}</button>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        onChange={({ currentTarget }) => {
          add([...currentTarget.files ?? []]);
          currentTarget.value = "";
        }}
      />
    </>
  );
}

/** Takes files that are dropped on the page, or pasted into it. `over` gets whether some are held over it. */
export function useDroppedFiles(add: (files: File[]) => void, over: (held: boolean) => void): void {
  const latest = useRef({ add, over });
  latest.current = { add, over };
  useEffect(() => {
    let depth = 0;
    const held = (change: number) => latest.current.over((depth = Math.max(0, depth + change)) > 0);
    const take = (event: Event, data: DataTransfer | null) => {
      const files = [...data?.files ?? []];
      if (files.length === 0) return;
      event.preventDefault();
      latest.current.add(files);
    };
    const listeners = {
      dragenter: (event: DragEvent) => carriesFiles(event) && held(1),
      dragleave: (event: DragEvent) => carriesFiles(event) && held(-1),
      dragover: (event: DragEvent) => carriesFiles(event) && event.preventDefault(),
      drop: (event: DragEvent) => {
        held(-depth);
        take(event, event.dataTransfer);
      },
      paste: (event: ClipboardEvent) => {
        // Word processors add a picture of the text that was copied.
        if (!event.clipboardData?.types.includes("text/plain")) take(event, event.clipboardData);
      },
    };
    const entries = Object.entries(listeners) as [string, EventListener][];
    entries.forEach(([name, listener]) => addEventListener(name, listener));
    return () => entries.forEach(([name, listener]) => removeEventListener(name, listener));
  }, []);
}

function carriesFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/** The list of the files on their way. Empty if there are none. */
export function FileUploads({ uploads }: { uploads: Uploads }) {
  if (uploads.files.value.length === 0) return null;
  return (
    <ul class="uploads" aria-label={texts.list}>
      {uploads.files.value.map((file) => <FileRow key={file.id} uploads={uploads} file={file} />)}
    </ul>
  );
}

function FileRow({ uploads, file }: { uploads: Uploads; file: FileUpload }) {
  const { name, size } = file.file;
  const state = file.state.value;
  const running = state === "UPLOADING" || state === "WAITING" || state === "PREPARING";
  return (
    <li class="upload">
      <bdi class="upload-name">{name}</bdi>
      <progress
        aria-label={texts.progress(name)}
        value={state === "DONE" ? size : file.sent.value}
        max={Math.max(size, 1)}
      />
      <span role="status">{texts.state[state]} {file.failure.value && reasonOf(file.failure.value)}</span>
      <span class="upload-actions">
        {running && <Action text={texts.pause(name)} sign="❚❚" act={() => file.pause()} />}
        {state === "PAUSED" && <Action text={texts.resume(name)} sign="▶" act={() => uploads.resume(file)} />}
        {state === "FAILED" && <Action text={texts.again(name)} sign="↻" act={() => uploads.resume(file)} />}
        <Action text={texts.remove(name)} sign="✕" act={() => uploads.remove(file)} />
      </span>
    </li>
  );
}

function Action({ text, sign, act }: { text: string; sign: string; act: () => void }) {
  return <button type="button" class="button quiet" aria-label={text} title={text} onClick={act}>{sign}</button>;
}

function reasonOf(failure: Failure): string {
  return "kind" in failure ? texts.failure[failure.kind] : failure.message;
}
