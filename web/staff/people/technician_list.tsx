import "./people.css";
import { execute } from "../../shared/client.ts";
import { people as texts } from "../../texts/people.ts";
import { TechnicianListPage } from "../operations.ts";
import { RecordList } from "../records/record_list.tsx";
import { Sections } from "../settings/sections.tsx";
import { Page } from "../shell/page.tsx";
import { ActiveBadge, activeIn, ACTIVITY } from "./activity.tsx";
import { findPeople } from "./find.ts";

export default function TechnicianList() {
  const action = <a class="button primary" href="/technicians/new">{texts.technicians.new}</a>;
  return (
    <Page title={texts.technicians.title} action={action}>
      <Sections />
      <RecordList
        path="/technicians"
        hint={texts.technicians.searchHint}
        filters={ACTIVITY}
        total={texts.technicians.total}
        none={texts.technicians.noneYet}
        read={(search, _, chosen) => {
          const active = activeIn(chosen);
          return findPeople(
            search,
            async (after) => (await execute(TechnicianListPage, { active, after })).technicians,
          );
        }}
        row={({ id, name, email, phone, active, openTicketCount }) => (
          <div class="record person-row">
            <a href={`/technicians/${id}`} dir="auto">{name}</a>
            <span class="person-contact">
              {email} {phone !== null && <span class="hint phone">{phone}</span>}
            </span>
            {openTicketCount === 0
              ? <span class="hint">{texts.technicians.open(0)}</span>
              : <a class="workload" href={`/tickets?assignee=${id}`}>{texts.technicians.open(openTicketCount)}</a>}
            <ActiveBadge active={active} />
          </div>
        )}
      />
    </Page>
  );
}
