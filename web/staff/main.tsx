import "../design/base.css";
import { render } from "preact";
import { LocationProvider, Route, Router } from "preact-iso";
import { restoreTheme } from "../design/theme.ts";
import { language } from "../texts/language.ts";
import { TicketList } from "./list/ticket_list.tsx";
import { Missing } from "./shell/missing.tsx";
import { pageOf } from "./shell/page_of.tsx";
import { Shell } from "./shell/shell.tsx";
import { readViewer } from "./viewer.ts";

const ArticleDetails = pageOf(() => import("./articles/article_page.tsx"));
const ArticleList = pageOf(() => import("./articles/article_list.tsx"));
const CustomerDetails = pageOf(() => import("./customers/customer_page.tsx"));
const CustomerList = pageOf(() => import("./customers/customer_list.tsx"));
const NewTicket = pageOf(() => import("./new_ticket/new_ticket.tsx"));
const PropertyDetails = pageOf(() => import("./properties/property_page.tsx"));
const PropertyList = pageOf(() => import("./properties/property_list.tsx"));
const TicketPage = pageOf(() => import("./ticket/ticket_page.tsx"));

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
        <Route path="/customers" component={CustomerList} />
        <Route path="/customers/:id" component={CustomerDetails} />
        <Route path="/properties" component={PropertyList} />
        <Route path="/properties/:id" component={PropertyDetails} />
        <Route path="/articles" component={ArticleList} />
        <Route path="/articles/:id" component={ArticleDetails} />
        <Route default component={Missing} />
      </Router>
    </Shell>
  </LocationProvider>,
  document.getElementById("console")!,
);
