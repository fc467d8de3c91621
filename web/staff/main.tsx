import "../design/base.css";
import { render } from "preact";
import { lazy, LocationProvider, Route, Router } from "preact-iso";
import { restoreTheme } from "../design/theme.ts";
import { language } from "../texts/language.ts";
import { TicketList } from "./list/ticket_list.tsx";
import { Missing } from "./shell/missing.tsx";
import { Shell } from "./shell/shell.tsx";
import { readViewer } from "./viewer.ts";

const NewTicket = lazy(() => import("./new_ticket/new_ticket.tsx"));
const TicketPage = lazy(() => import("./ticket/ticket_page.tsx"));

document.documentElement.lang = language;
restoreTheme();
void readViewer();

render(
  <LocationProvider>
    <Shell>
      <Router>
        <Route path="/" component={TicketList} />
        <Route path="/tickets" component={TicketList} />
        <Route path="/tickets/new" component={NewTicket} />
        <Route path="/tickets/:reference" component={TicketPage} />
        <Route default component={Missing} />
      </Router>
    </Shell>
  </LocationProvider>,
  document.getElementById("console")!,
);
