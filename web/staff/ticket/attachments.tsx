/** The files of a ticket: thumbnails, a lightbox for pictures, and the way to add some. */

import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { ownUrl } from "../../shared/client.ts";
import { FileButton, FileUploads, useDroppedFiles } from "../../shared/file_uploads.tsx";
import { Uploads } from "../../shared/upload.ts";
import { locale } from "../../texts/language.ts";
import { staffTicket as texts } from "../../texts/staff_ticket.ts";
import { upload as uploadTexts } from "../../texts/upload.ts";
import { isPicture, sizeOf } from "./rules.ts";
import type { Attachment, TicketStore } from "./store.ts";

export function Attachments({ store }: { store: TicketStore }) {
  const internalOnly = useSignal(true);
  const over = useSignal(false);
  const uploads = useMemo(() =>
    new Uploads((file) => {
      uploads.remove(file);
      void store.readAttachments();
    }), [store]);
  const add = (files: File[]) => uploads.add(files, { ticketId: store.id, internalOnly: internalOnly.value });
  useDroppedFiles(add, (held) => over.value = held);
  const files = store.attachments.value.filter(({ note }) => note === null);
  return (
    <section class={over.value ? "card drop-target" : "card"} aria-labelledby="ticket-files">
      <h2 id="ticket-files">{texts.files.title}</h2>
      {files.length === 0 ? <p class="hint">{texts.files.none}</p> : <FileLinks store={store} files={files} />}
      <FileUploads uploads={uploads} />
      <div class="file-actions">
        <FileButton add={add} />
        <span class="hint">{uploadTexts.drop}</span>
        <label class="checkbox">
          <input
            type="checkbox"
            checked={internalOnly.value}
            aria-describedby="file-visibility"
            onChange={(event) => internalOnly.value = event.currentTarget.checked}
          />
          {texts.files.internalOnly}
        </label>
        <span id="file-visibility" class={internalOnly.value ? "hint" : "warning"} role="status">
          {internalOnly.value ? texts.files.internalHint : texts.files.publicHint}
        </span>
      </div>
      {over.value && <p class="drop-hint">{texts.files.dropHere}</p>}
    </section>
  );
}

/** Files as thumbnails or names. Pictures open in the lightbox, everything else is saved. */
export function FileLinks({ store, files }: { store: TicketStore; files: readonly Attachment[] }) {
  const shown = useSignal<string | null>(null);
  const pictures = files.filter((file) => file.url !== null && isPicture(file.contentType));
  const open = (id: string) => {
    void store.renewLinks();
    shown.value = id;
  };
  return (
    <>
      <ul class="files">
        {files.map((file) => (
          <li key={file.id} class="file">
            {pictures.includes(file)
              ? <Thumbnail store={store} file={file} open={() => open(file.id)} />
              : <FileName store={store} file={file} />}
            <span class="hint">
              {sizeOf(file.size, locale)} · <bdi>{file.createdBy.name}</bdi>{" "}
              {file.internalOnly && <span class="tag">{texts.notes.internal}</span>} {texts.files.state[file.state]}
              {file.rejectedBecause !== null && `: ${file.rejectedBecause}`}
            </span>
          </li>
        ))}
      </ul>
      {shown.value !== null && (
        <Lightbox
          store={store}
          pictures={pictures}
          id={shown.value}
          close={() => shown.value = null}
        />
      )}
    </>
  );
}

function Thumbnail({ store, file, open }: { store: TicketStore; file: Attachment; open: () => void }) {
  return (
    <button type="button" class="thumbnail" aria-label={texts.files.open(file.name)} onClick={open}>
      <img src={ownUrl(file.thumbnailUrl ?? file.url!)} alt="" loading="lazy" onError={() => void store.renewLinks()} />
      <bdi class="file-name">{file.name}</bdi>
    </button>
  );
}

function FileName({ store, file }: { store: TicketStore; file: Attachment }) {
  if (file.url === null) return <bdi class="file-name">{file.name}</bdi>;
  const save = async (event: MouseEvent) => {
    event.preventDefault();
    await store.renewLinks();
    const { url } = store.attachments.value.find(({ id }) => id === file.id) ?? file;
    if (url !== null) location.assign(ownUrl(url));
  };
  return (
    <a
      class="file-name"
      href={ownUrl(file.url)}
      download={file.name}
      aria-label={texts.files.download(file.name)}
      onClick={save}
    >
      <bdi>{file.name}</bdi>
    </a>
  );
}

function Lightbox({ store, pictures, id, close }: {
  store: TicketStore;
  pictures: readonly Attachment[];
  id: string;
  close: () => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const index = useSignal(Math.max(0, pictures.findIndex((one) => one.id === id)));
  useEffect(() => dialog.current!.showModal(), []);
  const picture = pictures[Math.min(index.value, pictures.length - 1)];
  if (picture === undefined) return null;
  const go = (step: number) => index.value = (index.value + step + pictures.length) % pictures.length;
  return (
    <dialog
      ref={dialog}
      class="lightbox"
      aria-label={picture.name}
      onClose={close}
      onKeyDown={({ key }) => {
        if (key === "ArrowLeft") go(-1);
        if (key === "ArrowRight") go(1);
      }}
      onClick={(event) => event.target === dialog.current && dialog.current!.close()}
    >
      <img
        src={ownUrl(picture.url!)}
        alt={picture.name}
        width={picture.width ?? undefined}
        height={picture.height ?? undefined}
        onError={() => void store.renewLinks()}
      />
      <div class="lightbox-bar">
        <span role="status">
          <bdi>{picture.name}</bdi> · {texts.files.position(index.value + 1, pictures.length)}
        </span>
        {pictures.length > 1 && (
          <>
            <button type="button" class="button" onClick={() => go(-1)}>{texts.files.previous}</button>
            <button type="button" class="button" onClick={() => go(1)}>{texts.files.next}</button>
          </>
        )}
        <a class="button" href={ownUrl(picture.url!)} download={picture.name}>{texts.files.downloadShort}</a>
        <button type="button" class="button" onClick={() => dialog.current!.close()}>{texts.files.close}</button>
      </div>
    </dialog>
  );
}
