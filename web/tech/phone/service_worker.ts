/** The service worker of `/tech`: it begins the pages without a connection, and shows notices.
 *
 * It keeps the page and the files of one version, the one that it was built with (`build.ts`). A page comes from the
 * server if that answers, so a new version is there at the next visit; the browser then finds a new service worker, which
 * takes the place of this one as soon as it has its own files. The page loads all its files when it begins, so a page
 * of the version before goes on. */

/** What `build.ts` puts here: the paths of the files, the page's script first, and what changes with them. */
declare const FILES: readonly string[];
declare const VERSION: string;

/** The parts of `ServiceWorkerGlobalScope` that are used here: its types and those of a page exclude each other. */
interface Worker {
  addEventListener(type: "install" | "activate", listener: (event: Extendable) => void): void;
  addEventListener(type: "fetch", listener: (event: Fetch) => void): void;
  addEventListener(type: "push", listener: (event: Push) => void): void;
  addEventListener(type: "notificationclick", listener: (event: Click) => void): void;
  skipWaiting(): Promise<void>;
  clients: { claim(): Promise<void>; openWindow(url: string): Promise<unknown> };
  registration: {
    showNotification(title: string, options: NotificationOptions & { renotify?: boolean }): Promise<void>;
  };
}
interface Extendable extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface Fetch extends Extendable {
  request: Request;
  respondWith(answer: Promise<Response>): void;
}
interface Push extends Extendable {
  data: { json(): Notice } | null;
}
interface Click extends Extendable {
  notification: Notification;
}

/** A notice (`docs/device.md`). */
interface Notice {
  title: string;
  body: string;
  tag: string;
  url: string | null;
  reference: string | null;
  token: string | null;
}

const PAGE = "/tech";
const PREFIX = "callout-tech-";
const CACHE = PREFIX + VERSION;
const ANSWERED_WITHIN = 5_000; // ms
const worker = self as unknown as Worker;

worker.addEventListener("install", (event) => event.waitUntil(store()));
worker.addEventListener("activate", (event) => event.waitUntil(takeOver()));
worker.addEventListener("fetch", (event) => {
  const { method, mode, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== location.origin) return;
  // The scope has all paths that begin like this one, such as `/technicians`.
  const isOurs = pathname === PAGE || pathname.startsWith(`${PAGE}/`);
  if (mode === "navigate" && isOurs) event.respondWith(page(event.request));
  else if (FILES.includes(pathname)) event.respondWith(file(event.request));
});
worker.addEventListener("push", (event) => {
  const notice = event.data?.json();
  if (notice) event.waitUntil(Promise.all([show(notice), acknowledge(notice)]));
});
worker.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(worker.clients.openWindow(event.notification.data.url));
});

async function store(): Promise<void> {
  const cache = await caches.open(CACHE);
  const answer = await fetch(PAGE, { cache: "no-store" });
  if (!answer.ok || answer.redirected) throw new Error("nobody is signed in");
  const text = await answer.clone().text();
  if (!text.includes(FILES[0]!)) throw new Error("the page is of another version");
  await cache.addAll(FILES);
  await cache.put(PAGE, answer);
  await worker.skipWaiting();
}

async function takeOver(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(
    names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)),
  );
  await worker.clients.claim();
}

/** The page as the server has it; the one that is kept if the server does not answer, or a proxy answers in its place. */
async function page(request: Request): Promise<Response> {
  try {
    const answer = await fetch(request, { signal: AbortSignal.timeout(ANSWERED_WITHIN) });
    if (answer.status < 500) return answer;
  } catch {
    // There is no connection.
  }
  return await caches.match(PAGE) ?? Response.error();
}

async function file(request: Request): Promise<Response> {
  return await caches.match(request) ?? fetch(request);
}

function show({ title, body, tag, url, reference }: Notice): Promise<void> {
  const target = url ?? (reference === null ? PAGE : `${PAGE}/tickets/${reference}`);
  return worker.registration.showNotification(title, { body, tag, renotify: true, data: { url: target } });
}

/** Says that the notice has come. Needs no session. */
async function acknowledge({ token }: Notice): Promise<void> {
  if (token !== null) await fetch("/push/acknowledge", { method: "POST", body: token }).catch(() => {});
}
