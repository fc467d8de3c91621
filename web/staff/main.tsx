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

const AdminDetails = pageOf(() => import("./people/admin_page.tsx"));
const AdminList = pageOf(() => import("./people/admin_list.tsx"));
const ArticleDetails = pageOf(() => import("./articles/article_page.tsx"));
const ArticleList = pageOf(() => import("./articles/article_list.tsx"));
const AuditList = pageOf(() => import("./audit/audit_list.tsx"));
const CustomerDetails = pageOf(() => import("./customers/customer_page.tsx"));
const CustomerList = pageOf(() => import("./customers/customer_list.tsx"));
const DeliveryDetails = pageOf(() => import("./deliveries/delivery_page.tsx"));
const DeliveryList = pageOf(() => import("./deliveries/delivery_list.tsx"));
const KeyDetails = pageOf(() => import("./keys/key_page.tsx"));
const KeyList = pageOf(() => import("./keys/key_list.tsx"));
const MessageDetails = pageOf(() => import("./inbox/message_page.tsx"));
const MessageList = pageOf(() => import("./inbox/message_list.tsx"));
const NewTicket = pageOf(() => import("./new_ticket/new_ticket.tsx"));
const NewWebhook = pageOf(() => import("./webhooks/new_webhook.tsx"));
const OwnSessions = pageOf(() => import("./people/own_sessions.tsx"));
const PropertyDetails = pageOf(() => import("./properties/property_page.tsx"));
const PropertyList = pageOf(() => import("./properties/property_list.tsx"));
const SupportSettings = pageOf(() => import("./settings/support_page.tsx"));
const TechnicianDetails = pageOf(() => import("./people/technician_page.tsx"));
const TechnicianList = pageOf(() => import("./people/technician_list.tsx"));
const TicketPage = pageOf(() => import("./ticket/ticket_page.tsx"));
const WebhookDetails = pageOf(() => import("./webhooks/webhook_page.tsx"));
const WebhookList = pageOf(() => import("./webhooks/webhook_list.tsx"));

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
        <Route path="/inbox" component={MessageList} />
        <Route path="/inbox/:id" component={MessageDetails} />
        <Route path="/deliveries" component={DeliveryList} />
        <Route path="/deliveries/:id" component={DeliveryDetails} />
        <Route path="/keys" component={KeyList} />
        <Route path="/keys/webhooks" component={WebhookList} />
        <Route path="/keys/webhooks/new" component={NewWebhook} />
        <Route path="/keys/webhooks/:id" component={WebhookDetails} />
        <Route path="/keys/:id" component={KeyDetails} />
        <Route path="/audit" component={AuditList} />
        <Route path="/settings" component={SupportSettings} />
        <Route path="/settings/sessions" component={OwnSessions} />
        <Route path="/technicians" component={TechnicianList} />
        <Route path="/technicians/:id" component={TechnicianDetails} />
        <Route path="/admins" component={AdminList} />
        <Route path="/admins/:id" component={AdminDetails} />
        <Route default component={Missing} />
      </Router>
    </Shell>
  </LocationProvider>,
  document.getElementById("console")!,
);
