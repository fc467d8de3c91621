/** The customer's properties, and what is on file about themselves. */

import { portal as texts } from "../../texts/portal.ts";
import { me, propertiesOfMine } from "../me.ts";
import { Page } from "../page.tsx";

export function PropertyList() {
  const properties = propertiesOfMine();
  const customer = me.value?.customer;
  return (
    <Page title={texts.properties.title}>
      {properties.length === 0
        ? (
          <div class="empty">
            <p class="empty-title">{texts.properties.none}</p>
            <p>{texts.properties.noneText}</p>
          </div>
        )
        : (
          <ul class="rows">
            {properties.map(({ id, address, accountNumber }) => (
              <li key={id} class="row">
                <span class="row-title">{address}</span>
                <a class="button" href={`/portal/new?property=${id}`}>{texts.properties.report}</a>
                <span class="row-more">{texts.properties.account} {accountNumber}</span>
              </li>
            ))}
          </ul>
        )}
      <section>
        <h2>{texts.you.title}</h2>
        <dl class="facts">
          <dt>{texts.you.account}</dt>
          <dd>{customer?.accountNumber}</dd>
          <dt>{texts.you.email}</dt>
          <dd>{customer?.email}</dd>
          {customer?.phone && (
            <>
              <dt>{texts.you.phone}</dt>
              <dd>{customer.phone}</dd>
            </>
          )}
        </dl>
        <p class="hint">{texts.you.change}</p>
      </section>
    </Page>
  );
}
