/** Parts of the portal's forms: labelled fields with what the server has objected to, and files to send along. */

import { useId } from "preact/hooks";
import type { ComponentChildren } from "preact";
import type { FileUpload, Uploads } from "../shared/upload.ts";
import { portal as texts } from "../texts/portal.ts";
import { upload as uploadTexts } from "../texts/upload.ts";

/** What the server objects to, by the last part of the field's path; "" is what concerns no field of the form. */
export type FieldErrors = Partial<Record<string, string>>;

interface UserError {
  field: readonly string[];
  message: string;
}

/** The errors of a mutation by field. Those of fields that the form does not have are joined under "". */
export function errorsByField(errors: readonly UserError[], fields: readonly string[]): FieldErrors {
  const found: FieldErrors = {};
  for (const { field, message } of errors) {
    const last = field.at(-1) ?? "";
    const name = fields.includes(last) ? last : "";
    found[name] = found[name] === undefined ? message : `${found[name]} ${message}`;
  }
  return found;
}

interface FieldProps {
  label: string;
  error: string | undefined;
  hint?: string;
  control: (given: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ComponentChildren;
}

export function Field({ label, error, hint, control }: FieldProps) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  const given = {
    id,
    ...(described ? { "aria-describedby": described } : {}),
    ...(error ? { "aria-invalid": true as const } : {}),
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {hint && <p class="hint" id={`${id}-hint`}>{hint}</p>}
      {control(given)}
      {error && <p class="error" id={`${id}-error`}>{error}</p>}
    </div>
  );
}

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
