import { execute } from "../../shared/client.ts";
import { people as texts } from "../../texts/people.ts";
import { OwnSession } from "../operations.ts";
import { OpenRecord } from "../records/open_record.tsx";
import { Sections } from "../settings/sections.tsx";
import { Page } from "../shell/page.tsx";
import { SessionsOf } from "./sessions.tsx";

export default function OwnSessions() {
  return (
    <OpenRecord title={texts.sessions.title} read={async () => (await execute(OwnSession, {})).me}>
      {({ session }) => (
        <Page title={texts.sessions.title}>
          <Sections />
          {session?.admin
            ? <SessionsOf adminId={session.admin.id} title={texts.signedIn} />
            : <p>{texts.sessions.byToken}</p>}
        </Page>
      )}
    </OpenRecord>
  );
}
