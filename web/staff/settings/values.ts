/** The support settings as they stand in the fields of their forms. */

import type { SupportSettingsPartsFragment, SupportSettingsUpdateInput } from "../operations.ts";

export type Settings = SupportSettingsPartsFragment;
type Kind = Settings["notices"][number]["kind"];

export const CHANNELS = ["email", "googleChat", "push"] as const;
export type NoticeChannel = typeof CHANNELS[number];

export const REOPEN_DAYS_MAX = 3_650;
export const OVERDUE_MINUTES_MAX = 525_600;
export const PRIORITIES = ["urgent", "high", "medium", "low"] as const;

/** Addresses as a person types them: one a line, or with commas between them. */
export function addressesIn(text: string): string[] {
  return text.split(/[\s,;]+/).filter((address) => address !== "");
}

/** The whole number that is typed; null if it is none, or greater than `most`. */
export function numberIn(text: string, most: number): number | null {
  const typed = text.trim();
  return /^\d{1,9}$/.test(typed) && Number(typed) <= most ? Number(typed) : null;
}

/** Whether each kind of notification is sent through each channel, by “KIND channel”. */
export type Switches = Record<string, boolean>;

export function switchesOf(notices: Settings["notices"]): Switches {
  return Object.fromEntries(
    notices.flatMap((notice) => CHANNELS.map((channel) => [switchOf(notice.kind, channel), notice[channel]])),
  );
}

export function switchOf(kind: Kind, channel: NoticeChannel): string {
  return `${kind} ${channel}`;
}

/** The input that changes these switches and no others. */
export function noticesOf(changes: Switches): NonNullable<SupportSettingsUpdateInput["notices"]> {
  const found = new Map<Kind, { kind: Kind } & Partial<Record<NoticeChannel, boolean>>>();
  for (const [name, isOn] of Object.entries(changes)) {
    const [kind, channel] = name.split(" ") as [Kind, NoticeChannel];
    found.set(kind, { ...found.get(kind) ?? { kind }, [channel]: isOn });
  }
  return [...found.values()];
}
