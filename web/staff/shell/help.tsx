/** All keys of the page, and whether they work. */

import { useLayoutEffect, useRef } from "preact/hooks";
import { shell as texts } from "../../texts/shell.ts";
import { keysWork, letKeysWork, shortcuts } from "./keys.ts";

export function Help({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="help" aria-label={texts.help} onClose={close}>
      <h2>{texts.help}</h2>
      <label class="check">
        <input
          type="checkbox"
          checked={keysWork.value}
          onChange={(event) => letKeysWork(event.currentTarget.checked)}
        />
        {texts.keysWork}
      </label>
      <dl class={keysWork.value ? "facts" : "facts keys-off"}>
        <dt>
          <kbd>Ctrl K</kbd>
        </dt>
        <dd>{texts.palette}</dd>
        {shortcuts.value.map(({ keys, text }) => (
          <>
            <dt key={keys}>{keys.split(" ").map((key) => <kbd key={key}>{key}</kbd>)}</dt>
            <dd>{text}</dd>
          </>
        ))}
      </dl>
      <form method="dialog">
        <button type="submit" class="button">{texts.close}</button>
      </form>
    </dialog>
  );
}
