import "../design/base.css";
import "./tech.css";
import type { ComponentChildren } from "preact";
import { render } from "preact";
import { LocationProvider, Route, Router } from "preact-iso";
import { restoreTheme } from "../design/theme.ts";
import { sleep } from "../shared/retry.ts";
import { language } from "../texts/language.ts";
import { tech as texts } from "../texts/tech.ts";
import { begin, keepInStep, REFUSED_PAUSE, report } from "./device/device.ts";
import { tidy } from "./device/others.ts";
import { ask, be, remembered, whenSomebodyElseComes } from "./me.ts";
import { NewTicket } from "./new_ticket/new_ticket.tsx";
import { registerServiceWorker } from "./phone/registration.ts";
import { wipeWhenSessionEnds } from "./phone/sign_out.ts";
import { TicketPage } from "./ticket/ticket_page.tsx";
import { TicketList } from "./tickets/ticket_list.tsx";
import { WaitingPage } from "./waiting/waiting_page.tsx";

const root = document.getElementById("console")!;
document.documentElement.lang = language;
restoreTheme();
wipeWhenSessionEnds();

function Message({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <main class="page">
      <h1>{title}</h1>
      {children}
      <button type="button" class="button primary" onClick={() => location.reload()}>{texts.again}</button>
    </main>
  );
}

/** Begins to send and to follow, when it is sure that this technician is signed in. The pages show what is on the phone
 * meanwhile, whatever the server says. */
async function keepInStepOnceSure(shown: string, isSure: boolean): Promise<void> {
  const id = isSure ? shown : (await askUntilAnswered()).id;
  if (id === shown) keepInStep(id);
  await tidy(id).catch(() => {}); // the next start does it
  if (id !== shown) location.reload(); // somebody else has signed in since
}

async function askUntilAnswered(): Promise<{ id: string }> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      report(error as Error);
      await sleep(REFUSED_PAUSE);
    }
  }
}

try {
  const known = remembered();
  const person = known ?? await ask((waits) => waits && render(<Message title={texts.noConnection} />, root));
  be(person);
  await begin(person.id);
  render(
    <LocationProvider scope="/tech">
      <Router>
        <Route path="/tech" component={TicketList} />
        <Route path="/tech/new" component={NewTicket} />
        <Route path="/tech/waiting" component={WaitingPage} />
        <Route path="/tech/tickets/:reference" component={TicketPage} />
        <Route default component={TicketList} />
      </Router>
    </LocationProvider>,
    root,
  );
  registerServiceWorker();
  whenSomebodyElseComes(() => location.reload());
  void keepInStepOnceSure(person.id, known === null);
} catch (error) {
  render(<Message title={texts.failed}>{<p>{(error as Error).message}</p>}</Message>, root);
}
