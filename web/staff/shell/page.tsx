/** A page of the staff: its title, what can be done on it, and its content. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect } from "preact/hooks";

interface PageProps {
  title: string;
  action?: ComponentChildren;
  /** Whether the page uses the whole width, as tables do. */
  wide?: boolean;
  children: ComponentChildren;
}

export function Page({ title, action, wide = false, children }: PageProps) {
  useLayoutEffect(() => {
    document.title = `${title} · Callout`;
  }, [title]);
  return (
    <div class={wide ? "staff-page wide" : "staff-page"}>
      <header class="page-head">
        <h1>{title}</h1>
        {action}
      </header>
      {children}
    </div>
  );
}
