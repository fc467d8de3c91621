/** The list of tickets, which keeps itself up to date. What it shows is in its address. */

import "./list.css";
import { useComputed } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo } from "preact/hooks";
import { useLocation } from "preact-iso";
import { connected } from "../../shared/client.ts";
import { staffList as texts } from "../../texts/staff_list.ts";
import { Page } from "../shell/page.tsx";
import { Filters, TabBar } from "./filters.tsx";
import { TicketListStore } from "./store.ts";
import { Table } from "./table.tsx";
import { readTechnicians } from "./technicians.ts";
import { addressOf, viewIn } from "./view.ts";

/** It stays while another page is shown: whoever comes back finds the rows, and is where they were. */
const store = new TicketListStore();
const left = { address: "", scrolled: 0 };
/** How many lists are on the page: for a moment two, when one address of the list follows another. */
let lists = 0;

export function TicketList() {
  const location = useLocation();
  const address = addressOf(viewIn(location.query));
  const view = useMemo(() => viewIn(location.query), [address]);
  const isThere = useComputed(() => store.rows.value !== null || store.state.value === "FAILED").value;
  useEffect(() => {
    // After the rows, which people wait for. A refusal of the server shows where the list would be.
    if (isThere) void readTechnicians().catch(() => {});
  }, [isThere]);
  useLayoutEffect(() => {
    const remember = () => left.scrolled = scrollY;
    addEventListener("scroll", remember, { passive: true });
    lists++;
    return () => {
      removeEventListener("scroll", remember);
      if (--lists === 0) store.close();
    };
  }, []);
  useLayoutEffect(() => {
    const isBack = left.address === address && !(location as { wasPush?: boolean }).wasPush;
    scrollTo(0, isBack ? left.scrolled : 0);
    store.isHeld.value = scrollY > 0;
    left.address = address;
    store.show(view);
  }, [address]);
  return (
    <Page title={texts.title} action={<a class="button primary" href="/tickets/new">{texts.new}</a>} wide>
      <TabBar view={view} counts={store.counts.value} />
      <Filters key={view.search} view={view} />
      <Connection />
      <Table key={address} view={view} store={store} />
    </Page>
  );
}

/** Says why the list may be out of date, or that the server cannot show it. The rows stay. */
function Connection() {
  const error = store.error.value;
  if (store.state.value === "FAILED") {
    return (
      <div class="notice failed" role="alert">
        <p>{texts.failed}: {error?.message}</p>
        <a class="button" href="/tickets">{texts.clear}</a>
      </div>
    );
  }
  if (error !== null) return <p class="notice offline" role="status">{texts.waits(error.message, error.retryAfter)}</p>;
  return connected.value ? null : <p class="notice offline" role="status">{texts.unreachable}</p>;
}
