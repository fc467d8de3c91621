import "../design/base.css";
import { render } from "preact";
import { lazy, LocationProvider, Route, Router } from "preact-iso";
import { TicketList } from "./list/ticket_list.tsx";
import { readViewer } from "./viewer.ts";

const NewTicket = lazy(() => import("./new_ticket/new_ticket.tsx"));
const TicketPage = lazy(() => import("./ticket/ticket_page.tsx"));

void readViewer();

render(
  <LocationProvider>
    <Router>
      <Route path="/" component={TicketList} />
      <Route path="/tickets" component={TicketList} />
      <Route path="/tickets/new" component={NewTicket} />
      <Route path="/tickets/:reference" component={TicketPage} />
    </Router>
  </LocationProvider>,
  document.getElementById("console")!,
);
