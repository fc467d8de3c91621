/** What a page shows when the server has another version of the console. */

import { version as texts } from "../texts/version.ts";
import { hasNewVersion } from "./version.ts";

/** The offer to load the new version, if there is one. */
export function NewVersion() {
  return (
    <div role="status">
      {hasNewVersion.value && (
        <p class="notice new-version">
          {texts.isThere} {texts.kept}{" "}
          <button type="button" class="button" onClick={() => location.reload()}>{texts.load}</button>
        </p>
      )}
    </div>
  );
}
