/** The technician's copy of their tickets and what they have done, kept on the phone: the pages show and change nothing
 * else. What is done is queued first and sent when there is a connection, so that it makes no difference whether there is
 * one.
 *
 * One tab at a time keeps the copy in step, and all show it. */

import { batch, computed, effect, type ReadonlySignal, signal } from "@preact/signals";
import {
  Device,
  type Given,
  type Kind,
  Malformed,
  type Message,
  NotNow,
  type Options,
  type Queued,
  SignedOut,
} from "../../../examples/device.ts";
import { connected, nameDevice, OWN_REQUEST } from "../../shared/client.ts";
import { live } from "../../shared/live.ts";
import { pauseOf, sleep } from "../../shared/retry.ts";
import { goToSignIn } from "../../shared/session.ts";
import {
  TechApply,
  TechMissed,
  type TechMissedSubscription,
  type TechTicketFragment as Ticket,
  TechTickets,
} from "../operations.ts";
import { partsOf, withQueue } from "./queue.ts";

export type { Kind, Queued, Ticket };

const MINE = { assignee: { me: true }, status: ["OPEN" as const, "IN_PROGRESS" as const] };
/** Seconds after which to ask again what the server has refused. */
export const REFUSED_PAUSE = 60;
const COMMANDS_MAX = 20; // for each the server counts a whole ticket with its notes and files

const copy = signal<Ticket[] | null>(null);
const reached = signal(false);
const failure = signal<string | null>(null);
const entries = signal<readonly Queued[]>([]);
let device: Device<Ticket> | undefined;

/** The technician's open tickets as they will be once the queue has been sent; null until they are known. */
export const tickets: ReadonlySignal<Ticket[] | null> = computed(() =>
  copy.value === null ? null : withQueue(copy.value, entries.value)
);
/** What waits to be sent, and what was in conflict or refused, in the order in which it was done. */
export const queue: ReadonlySignal<readonly Queued[]> = entries;
/** Whether the copy is in step with the server. */
export const online: ReadonlySignal<boolean> = computed(() => reached.value && connected.value);
/** What the server objects to, if it will again; null if nothing is wrong. */
export const problem: ReadonlySignal<string | null> = failure;

/** Shows what the server objects to. */
export function report(error: Error): void {
  failure.value = error.message;
}

/** The name of the database of the technician with this id. */
export function databaseOf(technician: string): string {
  return `callout.tech/${technician}`;
}

export function openDevice(name: string): Promise<Device<Ticket>> {
  const operations: Options["operations"] = { list: TechTickets, missed: TechMissed, apply: TechApply };
  return Device.open<Ticket>(name, {
    url: location.origin,
    headers: () => OWN_REQUEST,
    filter: MINE,
    operations,
    commandsMax: COMMANDS_MAX,
  });
}

/** Shows what is on the phone. */
export async function begin(technician: string): Promise<void> {
  const opened = device = await openDevice(databaseOf(technician));
  nameDevice(await opened.id());
  const show = async () => {
    const { tickets, queue } = await opened.all();
    const known = await opened.cursor() !== undefined;
    batch(() => {
      if (known) copy.value = tickets;
      entries.value = queue;
    });
  };
  opened.watch(() => void show());
  await show();
}

/** Begins to keep the copy in step, once it is known that it is this technician who is signed in: what one has done must
 * not be sent in another's name. */
export function keepInStep(technician: string): void {
  const opened = device!;
  keepUp(() => entries.value.some(({ result, uploadUrl }) => !result && !uploadUrl), () => opened.send());
  keepUp(() => entries.value.some(({ uploadUrl }) => uploadUrl !== undefined), () => opened.upload());
  // The browser gives the lock to another tab when this one is gone.
  void navigator.locks.request(`${databaseOf(technician)} follows`, () => follow(opened));
}

/** Queues a command. Throws if the phone has no room for it. */
export async function act(kind: Kind, given: Given): Promise<void> {
  await device!.do(kind, given);
  void navigator.storage.persist();
}

/** Queues a photo or another file. Throws if the phone has no room for it. */
export async function attach(file: File, given: Given): Promise<void> {
  await device!.attach(file, given);
  void navigator.storage.persist();
}

/** Takes a command that was in conflict or refused off the queue. */
export async function forget(key: string): Promise<void> {
  await device!.forget(key);
}

/** Queues the same once more, on the ticket as it is now, and takes the earlier command off the queue. */
export async function insist({ key, command, result }: Queued): Promise<void> {
  const [kind, given] = partsOf(command);
  const { key: _, occurredAt: __, baseVersion: ___, ...wanted } = given;
  const based = result?.ticket && (kind === "status" || kind === "resolve")
    ? { baseVersion: result.ticket.version }
    : {};
  await device!.do(kind, { ...wanted, ...based }, await device!.file(key));
  await device!.forget(key);
}

/** The time, although the phone's clock may be wrong. */
export function now(): Date {
  return device!.now();
}

/** The id by which the server knows this phone. */
export function deviceId(): Promise<string> {
  return device!.id();
}

/** Deletes what is on the phone: all of it, or but for the queue. */
export async function wipe(what: "ALL" | "COPY"): Promise<void> {
  if (what === "COPY") await device?.withdraw();
  else await device?.erase();
}

/** Keeps the copy in step for as long as the page is there. */
async function follow(opened: Device<Ticket>): Promise<never> {
  for (let failures = 0;;) {
    try {
      await opened.catchUp();
      failures = 0;
      failure.value = null;
      reached.value = true;
      await liveUntilReset(opened);
    } catch (error) {
      reached.value = false;
      await pauseAfter(error, failures++);
    }
  }
}

/** Applies what happens, until the copy must be read anew, or the server refuses the subscription. */
function liveUntilReset(opened: Device<Ticket>): Promise<void> {
  return new Promise((resolve, reject) => {
    let after: string | undefined;
    let taking: Promise<void> = opened.cursor().then((cursor) => {
      after = cursor;
    });
    void taking.then(() => {
      const following = live(TechMissed, () => ({ filter: MINE, after }), ({ ticketChanged: message }) => {
        after = message.cursor;
        taking = taking.then(() => take(message)).catch(end);
      });
      const stop = effect(() => {
        const { value: error } = following.error;
        if (following.state.value === "FAILED") end(new NotNow(error?.message ?? ""));
      });
      async function take(message: TechMissedSubscription["ticketChanged"]) {
        if (!(await opened.take(message as Message))) end();
      }
      function end(error?: unknown) {
        stop();
        following.close();
        if (error === undefined) resolve();
        else reject(error);
      }
    });
  });
}

/** Does the work whenever it is needed, again and again until it has been done. */
function keepUp(needed: () => boolean, work: () => Promise<void>): void {
  let working = false;
  effect(() => {
    if (!needed() || working) return;
    working = true;
    void (async () => {
      for (let failures = 0; needed();) {
        try {
          await work();
          failures = 0;
          failure.value = null;
        } catch (error) {
          await pauseAfter(error, failures++);
        }
      }
      working = false;
    })();
  });
}

/** Waits before the next attempt; leaves for the sign-in page if the session has ended. */
async function pauseAfter(error: unknown, failures: number): Promise<void> {
  if (error instanceof SignedOut) goToSignIn();
  const passes = error instanceof NotNow;
  if (!passes) failure.value = (error as Error).message;
  await sleep(passes || error instanceof Malformed ? pauseOf(failures) : REFUSED_PAUSE);
}
