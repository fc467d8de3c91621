/** The signs of the pages: drawn in lines on a square of 20, so that all have one width and follow the text's colour. */

import type { ComponentChildren } from "preact";

const DRAWINGS = {
  tickets: <path d="M3 6h14v3a1.5 1.5 0 0 0 0 3v3H3v-3a1.5 1.5 0 0 0 0-3zM12 6v1.5M12 10v1.5M12 14v1" />,
  customers: (
    <>
      <circle cx="7.5" cy="7" r="2.75" />
      <path d="M2.5 16.5c.3-3 2.3-4.75 5-4.75s4.7 1.75 5 4.75M12.75 4.6a2.75 2.75 0 0 1 0 4.8M14.5 12.4c1.7.6 2.8 2 3 4.1" />
    </>
  ),
  properties: <path d="M3 9.5 10 3.5l7 6M5 8v8.5h10V8M8.25 16.5v-4.25h3.5v4.25" />,
  articles: (
    <path d="M10 5.5C8.5 4.3 6.3 4 3 4v11.5c3.3 0 5.5.3 7 1.5 1.5-1.2 3.7-1.5 7-1.5V4c-3.3 0-5.5.3-7 1.5zM10 5.5V17" />
  ),
  inbox: <path d="M5 4h10l2.5 7v5h-15v-5zM2.5 11H7l1 2h4l1-2h4.5" />,
  deliveries: <path d="M17.5 2.5 2.5 8.5l5.5 2.5 2.5 6zM17.5 2.5 8 11" />,
  settings: (
    <>
      <path d="M3 5.5h7M15 5.5h2M3 14.5h2M10 14.5h7" />
      <circle cx="12.5" cy="5.5" r="2.25" />
      <circle cx="7.5" cy="14.5" r="2.25" />
    </>
  ),
  technicians: <path d="M13.2 3a4 4 0 0 0-4.7 5.2L3 13.7 6.3 17l5.5-5.5A4 4 0 0 0 17 6.8l-2.4 2.3-2.3-.6-.6-2.3z" />,
  admins: <path d="M10 2.5 16 5v4.5c0 3.6-2.4 6.5-6 8-3.6-1.5-6-4.4-6-8V5zM7.25 9.75l2 2 3.5-3.75" />,
  keys: (
    <>
      <circle cx="6.5" cy="13.5" r="3.5" />
      <path d="M9 11l7.5-7.5M13.5 6.5 16 9M11.5 8.5l1.5 1.5" />
    </>
  ),
  audit: <path d="M5 2.5h10v15H5zM7.75 6.5h4.5M7.75 10h4.5M7.75 13.5h2.5" />,
  menu: <path d="M3 5.5h14M3 10h14M3 14.5h14" />,
  find: (
    <>
      <circle cx="8.75" cy="8.75" r="5.25" />
      <path d="M12.75 12.75 17 17" />
    </>
  ),
} satisfies Record<string, ComponentChildren>;

export type IconName = keyof typeof DRAWINGS;

export function Icon({ name }: { name: IconName }) {
  return <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">{DRAWINGS[name]}</svg>;
}
