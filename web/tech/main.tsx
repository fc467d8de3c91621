import "../design/base.css";
import "./tech.css";
import { render } from "preact";
import { LocationProvider, Route, Router } from "preact-iso";
import { restoreTheme } from "../design/theme.ts";
import { language } from "../texts/language.ts";
import { tech as texts } from "../texts/tech.ts";
import { load } from "./me.ts";
import { TicketPage } from "./ticket/ticket_page.tsx";
import { TicketList } from "./tickets/ticket_list.tsx";

const root = document.getElementById("console")!;
document.documentElement.lang = language;
restoreTheme();

try {
  await load();
  render(
    <LocationProvider scope="/tech">
      <Router>
        <Route path="/tech" component={TicketList} />
        <Route path="/tech/tickets/:reference" component={TicketPage} />
        <Route default component={TicketList} />
      </Router>
    </LocationProvider>,
    root,
  );
} catch (error) {
  render(
    <main class="page">
      <h1>{texts.failed}</h1>
      <p>{(error as Error).message}</p>
      <button type="button" class="button primary" onClick={() => location.reload()}>{texts.again}</button>
    </main>,
    root,
  );
}
