import { execute } from "../../shared/client.ts";
import { records as texts } from "../../texts/records.ts";
import { PropertyListPage } from "../operations.ts";
import { RecordList } from "../records/record_list.tsx";
import { Page } from "../shell/page.tsx";

export default function PropertyList() {
  return (
    <Page title={texts.properties.title}>
      <RecordList
        path="/properties"
        hint={texts.properties.searchHint}
        total={texts.properties.total}
        none={texts.properties.none}
        read={async (search, after) => (await execute(PropertyListPage, { search, after })).properties}
        row={({ id, address, accountNumber, customer }) => (
          <a href={`/properties/${id}`}>
            <b dir="auto">{address}</b>
            <span dir="auto">{customer.name}</span>
            <span class="hint">{accountNumber}</span>
          </a>
        )}
      />
      <p class="hint">{texts.properties.added}</p>
    </Page>
  );
}
