/** Settings → Support: who is notified, of what, through which channels, and when tickets reopen and assignments are
 * overdue. */

import "./settings.css";
import { useSignal } from "@preact/signals";
import { execute } from "../../shared/client.ts";
import { Time } from "../../shared/time.tsx";
import { records as recordTexts } from "../../texts/records.ts";
import { settings as texts } from "../../texts/settings.ts";
import { ticketWords } from "../../texts/ticket_words.ts";
import {
  SupportSettingsFollow,
  SupportSettingsPage,
  SupportSettingsSave,
  type SupportSettingsUpdateInput,
} from "../operations.ts";
import { Action } from "../records/action.tsx";
import { followChanges } from "../records/following.ts";
import { OpenRecord } from "../records/open_record.tsx";
import { type FieldOf, RecordForm, type Saved } from "../records/record_form.tsx";
import { Page } from "../shell/page.tsx";
import { NoticeTable } from "./notice_table.tsx";
import { Sections } from "./sections.tsx";
import { TestButton } from "./test_button.tsx";
import {
  addressesIn,
  noticesOf,
  numberIn,
  OVERDUE_MINUTES_MAX,
  PRIORITIES,
  REOPEN_DAYS_MAX,
  type Settings,
  type Switches,
  switchesOf,
} from "./values.ts";

interface PartProps {
  settings: Settings;
  reload: () => void;
}

async function save(input: SupportSettingsUpdateInput): Promise<Saved> {
  return (await execute(SupportSettingsSave, { input })).supportSettingsUpdate;
}

export default function SupportSettings() {
  return (
    <OpenRecord
      title={texts.title}
      read={async () => (await execute(SupportSettingsPage, {})).supportSettings}
      follow={(changed) => [followChanges(SupportSettingsFollow, () => true, changed)]}
    >
      {(settings, reload) => (
        <Page title={texts.title}>
          <Sections />
          <EmailSettings settings={settings} reload={reload} />
          <ChatSettings settings={settings} reload={reload} />
          <section class="card" aria-labelledby="settings-push">
            <h2 id="settings-push">{texts.push.title}</h2>
            <p>{texts.push.text}</p>
            <TestButton channel="PUSH" />
          </section>
          <NoticeSettings settings={settings} reload={reload} />
          <AnswerSettings settings={settings} reload={reload} />
          <OverdueSettings settings={settings} reload={reload} />
          <p class="hint">
            {texts.changed} <Time at={settings.updatedAt} />
          </p>
        </Page>
      )}
    </OpenRecord>
  );
}

interface Recipients {
  adminRecipients: string;
}

function recipientsOf({ adminRecipients }: Settings): Recipients {
  return { adminRecipients: adminRecipients.join("\n") };
}

function EmailSettings({ settings, reload }: PartProps) {
  const note = useSignal("");
  const initial = recipientsOf(settings);
  return (
    <section class="card" aria-labelledby="settings-email">
      <h2 id="settings-email">{texts.email.title}</h2>
      <RecordForm<Recipients>
        name="admin recipients"
        initial={initial}
        fields={[{
          name: "adminRecipients",
          label: texts.email.recipients,
          hint: texts.email.recipientsHint,
          kind: "text",
        }]}
        button={recordTexts.save}
        save={async (values, idempotencyKey) => {
          const adminRecipients = addressesIn(values.adminRecipients);
          const { userErrors } = await save({ adminRecipients, idempotencyKey });
          return { userErrors: userErrors.map((error) => ofAddress(error, adminRecipients)) };
        }}
        saved={() => {
          note.value = recordTexts.saved;
          reload();
        }}
        note={note.value}
      />
      <TestButton channel="EMAIL" />
    </section>
  );
}

/** An error of one address, at the field that has all of them. */
function ofAddress({ field, message }: Saved["userErrors"][number], addresses: readonly string[]) {
  const address = addresses[Number(field.at(-1))];
  return { field: ["adminRecipients"], message: address === undefined ? message : `${address}: ${message}` };
}

function ChatSettings({ settings: { googleChatConfigured, googleChatEnabled }, reload }: PartProps) {
  const note = useSignal("");
  const urlNote = useSignal("");
  return (
    <section class="card" aria-labelledby="settings-chat">
      <h2 id="settings-chat">{texts.chat.title}</h2>
      <p>{googleChatConfigured ? texts.chat.isSet : texts.chat.isNotSet}</p>
      <RecordForm<{ googleChatWebhookUrl: string }>
        name="webhook URL"
        secret
        initial={{ googleChatWebhookUrl: "" }}
        fields={[{
          name: "googleChatWebhookUrl",
          label: googleChatConfigured ? texts.chat.newUrl : texts.chat.url,
        }]}
        button={texts.chat.saveUrl}
        save={async ({ googleChatWebhookUrl }, idempotencyKey) => {
          const isEmpty = googleChatWebhookUrl.trim() === ""; // which would remove it
          if (isEmpty) return { userErrors: [{ field: ["googleChatWebhookUrl"], message: texts.chat.urlNeeded }] };
          return await save({ googleChatWebhookUrl, idempotencyKey });
        }}
        saved={() => {
          urlNote.value = recordTexts.saved;
          reload();
        }}
        note={urlNote.value}
      />
      {googleChatConfigured && (
        <>
          <RecordForm<{ googleChatEnabled: boolean }>
            name="Google Chat"
            initial={{ googleChatEnabled }}
            fields={[{ name: "googleChatEnabled", label: texts.chat.enabled, kind: "check" }]}
            button={recordTexts.save}
            save={(_, idempotencyKey, changes) => save({ ...changes, idempotencyKey })}
            saved={() => {
              note.value = recordTexts.saved;
              reload();
            }}
            note={note.value}
          />
          <TestButton channel="GOOGLE_CHAT" />
          <p class="actions">
            <Action
              danger
              question={texts.chat.removeQuestion}
              act={(key) => save({ googleChatWebhookUrl: null, googleChatEnabled: false, idempotencyKey: key })}
              done={() => {
                urlNote.value = texts.chat.removed;
                reload();
              }}
            >
              {texts.chat.remove}
            </Action>
          </p>
        </>
      )}
    </section>
  );
}

function NoticeSettings({ settings, reload }: PartProps) {
  const note = useSignal("");
  const initial = switchesOf(settings.notices);
  return (
    <section class="card" aria-labelledby="settings-notices">
      <h2 id="settings-notices">{texts.notices.title}</h2>
      <p>{texts.notices.text}</p>
      <RecordForm<Switches>
        name="channels of notifications"
        initial={initial}
        fields={[]}
        body={(switches, change) => <NoticeTable notices={settings.notices} switches={switches} change={change} />}
        button={recordTexts.save}
        save={(_, idempotencyKey, changes) => save({ notices: noticesOf(changes as Switches), idempotencyKey })}
        saved={() => {
          note.value = recordTexts.saved;
          reload();
        }}
        note={note.value}
      />
    </section>
  );
}

interface AnswerValues {
  reopenDays: string;
}

function answerValuesOf({ reopenDays }: Settings): AnswerValues {
  return { reopenDays: String(reopenDays) };
}

function AnswerSettings({ settings, reload }: PartProps) {
  const note = useSignal("");
  const initial = answerValuesOf(settings);
  return (
    <section class="card" aria-labelledby="settings-answers">
      <h2 id="settings-answers">{texts.answers.title}</h2>
      <RecordForm<AnswerValues>
        name="answers"
        initial={initial}
        fields={[{ name: "reopenDays", label: texts.answers.reopenDays, hint: texts.answers.reopenDaysHint }]}
        button={recordTexts.save}
        save={async (values, idempotencyKey) => {
          const reopenDays = numberIn(values.reopenDays, REOPEN_DAYS_MAX);
          if (reopenDays === null) return { userErrors: [notANumber("reopenDays", REOPEN_DAYS_MAX)] };
          return await save({ reopenDays, idempotencyKey });
        }}
        saved={() => {
          note.value = recordTexts.saved;
          reload();
        }}
        note={note.value}
      />
    </section>
  );
}

function notANumber(name: string, most: number): Saved["userErrors"][number] {
  return { field: [name], message: texts.invalidNumber(most) };
}

type OverdueValues = Record<typeof PRIORITIES[number], string>;

const OVERDUE_FIELDS: readonly FieldOf<OverdueValues>[] = PRIORITIES.map((name) => ({
  name,
  label: texts.overdue.minutes(ticketWords.priority[name.toUpperCase() as Uppercase<typeof name>]),
}));

function overdueValuesOf({ overdueMinutes }: Settings): OverdueValues {
  const minutes = PRIORITIES.map((name) => [name, String(overdueMinutes[name] ?? "")]);
  return Object.fromEntries(minutes) as OverdueValues;
}

function OverdueSettings({ settings, reload }: PartProps) {
  const note = useSignal("");
  const initial = overdueValuesOf(settings);
  return (
    <section class="card overdue-settings" aria-labelledby="settings-overdue">
      <h2 id="settings-overdue">{texts.overdue.title}</h2>
      <p>{texts.overdue.text}</p>
      <RecordForm<OverdueValues>
        name="overdue assignments"
        initial={initial}
        fields={OVERDUE_FIELDS}
        button={recordTexts.save}
        save={saveOverdue}
        saved={() => {
          note.value = recordTexts.saved;
          reload();
        }}
        note={note.value}
      />
    </section>
  );
}

async function saveOverdue(_: OverdueValues, idempotencyKey: string, changes: Partial<OverdueValues>): Promise<Saved> {
  const typed = Object.entries(changes).map(([name, text]) => [name, text.trim()] as const);
  const wrong = typed.filter(([_, text]) => text !== "" && numberIn(text, OVERDUE_MINUTES_MAX) === null);
  if (wrong.length > 0) return { userErrors: wrong.map(([name]) => notANumber(name, OVERDUE_MINUTES_MAX)) };
  const overdueMinutes = Object.fromEntries(
    typed.map(([name, text]) => [name, text === "" ? null : Number(text)] as const),
  );
  return await save({ overdueMinutes, idempotencyKey });
}
