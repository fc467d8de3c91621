import { execute } from "../../shared/client.ts";
import { records as texts } from "../../texts/records.ts";
import { CustomerListPage } from "../operations.ts";
import { RecordList } from "../records/record_list.tsx";
import { Page } from "../shell/page.tsx";

export default function CustomerList() {
  const action = <a class="button primary" href="/customers/new">{texts.customers.new}</a>;
  return (
    <Page title={texts.customers.title} action={action}>
      <RecordList
        path="/customers"
        hint={texts.customers.searchHint}
        total={texts.customers.total}
        none={texts.customers.none}
        noneText={texts.customers.noneText}
        read={async (search, after) => (await execute(CustomerListPage, { search, after })).customers}
        row={({ id, name, email, accountNumber }) => (
          <a href={`/customers/${id}`}>
            <b dir="auto">{name}</b>
            <span>{email}</span>
            <span class="hint">{accountNumber}</span>
          </a>
        )}
      />
    </Page>
  );
}
