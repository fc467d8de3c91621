/** A table of switches: a row for each kind of notification, a column for each channel. */

import { settings as texts } from "../../texts/settings.ts";
import { CHANNELS, type Settings, type Switches, switchOf } from "./values.ts";

interface NoticeTableProps {
  notices: Settings["notices"];
  switches: Switches;
  change: (name: string, isOn: boolean) => void;
}

export function NoticeTable({ notices, switches, change }: NoticeTableProps) {
  return (
    <table class="notice-table">
      <caption class="visually-hidden">{texts.notices.caption}</caption>
      <thead>
        <tr>
          <th scope="col">{texts.notices.notification}</th>
          {CHANNELS.map((channel) => <th key={channel} scope="col">{texts.notices.channels[channel]}</th>)}
        </tr>
      </thead>
      <tbody>
        {notices.map(({ kind }) => {
          const words = texts.notices.kinds[kind as keyof typeof texts.notices.kinds] ?? kind;
          return (
            <tr key={kind}>
              <th scope="row">{words}</th>
              {CHANNELS.map((channel) => (
                <td key={channel}>
                  <label>
                    <input
                      type="checkbox"
                      aria-label={`${words}: ${texts.notices.channels[channel]}`}
                      checked={switches[switchOf(kind, channel)]}
                      onChange={(event) => change(switchOf(kind, channel), event.currentTarget.checked)}
                    />
                  </label>
                </td>
              ))}
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
