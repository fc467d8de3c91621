/** A secret that the server shows once: with a way to copy it, and a question before the page is left without it. */

import { signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
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

/** What was made: its page, and its secret, which is null if it was in an answer that was lost: the server does not repeat
 * it. */
interface Made {
  href: string;
  secret: string | null;
}

interface Words {
  label: string;
  warning: string;
  lost: string;
  /** The text of the link to what was made. */
  link: string;
}

interface MakingProps extends Words {
  /** The form. It calls `made` with each answer, and `saved` after it. */
  form: (made: (one: Made | null) => void, saved: () => void) => ComponentChildren;
}

/** A form that makes something that has a secret, and what was made in the form's place. */
export function MakingOnce({ form, ...words }: MakingProps) {
  const made = useSignal<Made | null>(null);
  const done = useSignal(false);
  if (done.value && made.value !== null) return <MadeOnce {...made.value} {...words} />;
  return <>{form((one) => made.value = one, () => done.value = true)}</>;
}

/** Something new with its secret, or with what to do because that was lost. */
function MadeOnce({ secret, href, link, label, warning, lost }: Made & Words) {
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
