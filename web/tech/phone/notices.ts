/** Notices of the phone (Web Push): turned on and off by the technician. */

import { signal } from "@preact/signals";
import { execute, newKey } from "../../shared/client.ts";
import { deviceId } from "../device/device.ts";
import { TechPushKey, TechPushRemove, TechPushSet } from "../operations.ts";

/** `UNAVAILABLE`: the browser or the server has none. `BLOCKED`: the person has forbidden them in the browser. */
export type NoticeState = "UNAVAILABLE" | "BLOCKED" | "OFF" | "ON";

export const notices = signal<NoticeState>("UNAVAILABLE");

/** Finds out whether notices are on, and renews their subscription if so. Needs a connection. */
export async function findNotices(): Promise<void> {
  const key = await serverKey();
  if (key === null) return;
  const existing = await (await navigator.serviceWorker.ready).pushManager.getSubscription();
  if (Notification.permission === "denied") notices.value = "BLOCKED";
  else if (existing === null) notices.value = "OFF";
  else await subscribe(key);
}

/** Asks the person, and turns notices on if they agree. Throws the errors of `execute`, and those of the browser. */
export async function turnOn(): Promise<void> {
  const key = await serverKey();
  if (key === null) return;
  if (await Notification.requestPermission() === "granted") await subscribe(key);
  else if (Notification.permission === "denied") notices.value = "BLOCKED";
}

/** Turns notices off. The push service forgets the phone, even if the server cannot be reached. */
export async function turnOff(): Promise<void> {
  if (!("PushManager" in globalThis)) return;
  const registration = await navigator.serviceWorker.getRegistration("/tech");
  const existing = await registration?.pushManager.getSubscription();
  if (!existing) return;
  notices.value = "OFF";
  await existing.unsubscribe();
  const input = { deviceId: await deviceId(), idempotencyKey: newKey() };
  await execute(TechPushRemove, { input }).catch(() => {});
}

async function subscribe(key: Uint8Array<ArrayBuffer>): Promise<void> {
  const { pushManager } = await navigator.serviceWorker.ready;
  let made = await pushManager.getSubscription();
  const before = made?.options.applicationServerKey;
  if (made && before && String(new Uint8Array(before)) !== String(key)) {
    await made.unsubscribe(); // made for another key of the server's
    made = null;
  }
  made ??= await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  const { endpoint, keys } = made.toJSON();
  const input = { deviceId: await deviceId(), endpoint: endpoint!, p256dh: keys!.p256dh!, auth: keys!.auth! };
  const { userErrors } = (await execute(TechPushSet, { input })).pushSubscriptionSet;
  if (userErrors.length > 0) throw new Error(userErrors.map(({ message }) => message).join(" "));
  notices.value = "ON";
}

async function serverKey(): Promise<Uint8Array<ArrayBuffer> | null> {
  if (!("PushManager" in globalThis) || !("Notification" in globalThis)) return null;
  const { pushPublicKey } = await execute(TechPushKey, {});
  if (pushPublicKey === null) return null;
  return Uint8Array.from(
    atob(pushPublicKey.replaceAll("-", "+").replaceAll("_", "/")),
    (letter) => letter.charCodeAt(0),
  );
}
