/** The files that a form of the portal sends along. */

import { useId } from "preact/hooks";
import type { FileUpload, Uploads } from "../shared/upload.ts";
import { portal as texts } from "../texts/portal.ts";
import { upload as uploadTexts } from "../texts/upload.ts";

interface FilePickerProps {
  label: string;
  files: readonly File[];
  onChange: (files: readonly File[]) => void;
}

/** Chooses photos and files, from the camera too. */
export function FilePicker({ label, files, onChange }: FilePickerProps) {
  const id = useId();
  return (
    <div class="field">
      <label class="button file-button" for={id}>{label}</label>
      <input
        class="file-input"
        id={id}
        type="file"
        multiple
        onChange={(event) => {
          onChange([...files, ...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }}
      />
      {files.length > 0 && (
        <ul class="files">
          {files.map((file) => (
            <li key={`${file.name} ${file.size} ${file.lastModified}`}>
              {file.name}
              <button
                type="button"
                class="link"
                aria-label={texts.remove(file.name)}
                onClick={() => onChange(files.filter((one) => one !== file))}
              >
                ✕
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** The files that are on their way, or were not taken. */
export function UploadList({ uploads }: { uploads: Uploads }) {
  const waiting = uploads.files.value.filter((file) => file.state.value !== "DONE");
  if (waiting.length === 0) return null;
  return (
    <ul class="files" aria-label={uploadTexts.list}>
      {waiting.map((file) => <UploadRow key={file.id} file={file} uploads={uploads} />)}
    </ul>
  );
}

function UploadRow({ file, uploads }: { file: FileUpload; uploads: Uploads }) {
  const failure = file.failure.value;
  const why = failure && ("message" in failure ? failure.message : uploadTexts.failure[failure.kind]);
  return (
    <li>
      {file.file.name}
      <progress aria-label={uploadTexts.progress(file.file.name)} value={file.sent.value} max={file.file.size || 1} />
      <span>{why ?? uploadTexts.state[file.state.value]}</span>
      {failure && (
        <button type="button" class="link" onClick={() => uploads.resume(file)}>
          {uploadTexts.again(file.file.name)}
        </button>
      )}
      <button type="button" class="link" onClick={() => uploads.remove(file)}>
        {uploadTexts.remove(file.file.name)}
      </button>
    </li>
  );
}
