import "./people.css";
import { execute } from "../../shared/client.ts";
import { people as texts } from "../../texts/people.ts";
import { AdminListPage } from "../operations.ts";
import { RecordList } from "../records/record_list.tsx";
import { Sections } from "../settings/sections.tsx";
import { Page } from "../shell/page.tsx";
import { viewer } from "../viewer.ts";
import { ActiveBadge, activeIn, ACTIVITY } from "./activity.tsx";
import { findPeople } from "./find.ts";

export default function AdminList() {
  const action = <a class="button primary" href="/admins/new">{texts.admins.new}</a>;
  return (
    <Page title={texts.admins.title} action={action}>
      <Sections />
      <RecordList
        path="/admins"
        hint={texts.admins.searchHint}
        filters={ACTIVITY}
        total={texts.admins.total}
        none={texts.admins.noneYet}
        read={(search, _, chosen) => {
          const active = activeIn(chosen);
          return findPeople(search, async (after) => (await execute(AdminListPage, { active, after })).admins);
        }}
        row={({ id, name, email, active }) => (
          <div class="record person-row">
            <a href={`/admins/${id}`} dir="auto">{name}</a>
            <span class="person-contact">{email}</span>
            <span class="hint">{viewer.value?.id === id && texts.admins.you}</span>
            <ActiveBadge active={active} />
          </div>
        )}
      />
    </Page>
  );
}
