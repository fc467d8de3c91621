import { shell as texts } from "../../texts/shell.ts";
import { Page } from "./page.tsx";

export function Missing() {
  return (
    <Page title={texts.missing}>
      <p>
        <a class="button" href="/tickets">{texts.pages.tickets}</a>
      </p>
    </Page>
  );
}
