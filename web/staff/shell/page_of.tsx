/** Pages that are loaded when somebody opens them. */

import type { FunctionComponent } from "preact";
import { useEffect } from "preact/hooks";
import { lazy } from "preact-iso";
import { lookForNewVersion } from "../../shared/version.ts";
import { shell as texts } from "../../texts/shell.ts";
import { Page } from "./page.tsx";

interface Module {
  default: FunctionComponent;
}

/** The page of a module. If the module cannot be loaded, as it has been replaced by that of a newer version, or as the
 * server cannot be reached, a page that says so. */
export function pageOf(load: () => Promise<Module>): FunctionComponent {
  return lazy<FunctionComponent>(() => load().catch((): Module => ({ default: NotLoaded })));
}

function NotLoaded() {
  useEffect(() => void lookForNewVersion(), []);
  return (
    <Page title={texts.notLoaded}>
      <p>{texts.notLoadedText}</p>
      <p>
        <button type="button" class="button primary" onClick={() => location.reload()}>{texts.reload}</button>
      </p>
    </Page>
  );
}
