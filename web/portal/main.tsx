import "../design/base.css";
import "./portal.css";
import { render } from "preact";
import { LocationProvider, Route, Router } from "preact-iso";
import { keepDraftsOf } from "../shared/drafts.ts";
import { language } from "../texts/language.ts";
import { portal as texts } from "../texts/portal.ts";
import { load, me } from "./me.ts";
import { NewTicket } from "./new_ticket/new_ticket.tsx";
import { PropertyList } from "./properties/property_list.tsx";
import { TicketPage } from "./ticket/ticket_page.tsx";
import { TicketList } from "./tickets/ticket_list.tsx";

const root = document.getElementById("console")!;
document.documentElement.lang = language;

function Failed({ message }: { message: string }) {
  return (
    <main class="page">
      <h1>{texts.failed}</h1>
      <p>{message}</p>
      <p>
        <button type="button" class="button primary" onClick={() => location.reload()}>{texts.again}</button>
      </p>
    </main>
  );
}

try {
  await load();
  keepDraftsOf(me.value!.id);
  render(
    <LocationProvider scope="/portal">
      <Router>
        <Route path="/portal" component={TicketList} />
        <Route path="/portal/new" component={NewTicket} />
        <Route path="/portal/properties" component={PropertyList} />
        <Route path="/portal/tickets/:reference" component={TicketPage} />
        <Route default component={TicketList} />
      </Router>
    </LocationProvider>,
    root,
  );
} catch (error) {
  render(<Failed message={(error as Error).message} />, root);
}
