import "../design/base.css";
import { render } from "preact";
import { LocationProvider, Route, Router } from "preact-iso";
import { TicketList } from "./list/ticket_list.tsx";

render(
  <LocationProvider>
    <Router>
      <Route path="/" component={TicketList} />
      <Route path="/tickets" component={TicketList} />
    </Router>
  </LocationProvider>,
  document.getElementById("console")!,
);
