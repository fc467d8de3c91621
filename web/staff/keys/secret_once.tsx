/** A secret that the server shows once: with a way to copy it, and a question before the page is left without it. */

import { signal, useSignal } from "@preact/signals";
import { useEffect, useId, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { askBeforeLeaving } from "../../shared/leaving.ts";
import { keys as texts } from "../../texts/keys.ts";

const unstored = signal(false);
askBeforeLeaving(() => unstored.value);

interface SecretOnceProps {
  label: string;
  secret: string;
  warning: string;
  /** Somebody says that they have stored it. */
  stored: () => void;
}

export function SecretOnce({ label, secret, warning, stored }: SecretOnceProps) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const copied = useSignal<boolean | null>(null);
  useEffect(() => {
    unstored.value = true;
    input.current!.focus();
    return () => unstored.value = false;
  }, []);

  async function copy() {
    try {
      await navigator.clipboard.writeText(secret);
      copied.value = true;
    } catch {
      input.current!.select();
      copied.value = false;
    }
  }

  return (
    <section class="card" aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>{texts.secretTitle}</h2>
      <p class="notice notice-warning" id={`${id}-warning`}>{warning}</p>
      <div class="field">
        <label for={id}>{label}</label>
        <input
          id={id}
          ref={input}
          class="secret"
          readOnly
          spellcheck={false}
          aria-describedby={`${id}-warning`}
          value={secret}
          onFocus={(event) => event.currentTarget.select()}
        />
      </div>
      <p class="actions">
        <button type="button" class="button primary" onClick={() => void copy()}>{texts.copy}</button>
        <button type="button" class="button" onClick={stored}>{texts.stored}</button>
        <span role="status">
          {copied.value === null ? "" : copied.value ? texts.copied : texts.notCopied}
        </span>
      </p>
    </section>
  );
}

interface MadeOnceProps {
  /** Null if it was in an answer that was lost: the server does not repeat it. */
  secret: string | null;
  /** The page of what was made, and the text of the link to it. */
  href: string;
  link: string;
  label: string;
  warning: string;
  lost: string;
}

/** Something new with its secret, or with what to do because that was lost. */
export function MadeOnce({ secret, href, link, label, warning, lost }: MadeOnceProps) {
  const { route } = useLocation();
  if (secret !== null) {
    return <SecretOnce label={label} secret={secret} warning={warning} stored={() => route(href)} />;
  }
  return (
    <>
      <p class="notice notice-warning" role="alert">{lost}</p>
      <p>
        <a class="button" href={href}>{link}</a>
      </p>
    </>
  );
}
