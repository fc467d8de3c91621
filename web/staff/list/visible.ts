/** Which rows of a long table are in sight. Only those are in the document; the rest is empty space. */

import { type Signal, signal } from "@preact/signals";
import { useLayoutEffect, useMemo } from "preact/hooks";

/** Rows that are kept above and below those in sight, so that none is missing while somebody scrolls. */
const MARGIN = 12;
const ROW_HEIGHT = 44;

export interface Visible {
  /** The index of the first row in the document, and the one after the last. */
  readonly from: number;
  readonly to: number;
  /** The height of each row, in pixels. */
  readonly height: number;
}

/** The rows in the document, of `count` rows of the same `height` whose first is at `top` of a screen this high. */
export function visible(count: number, height: number, top: number, screen: number): Visible {
  const first = Math.floor(-top / height);
  const inSight = Math.ceil(screen / height);
  const from = Math.max(0, Math.min(first - MARGIN, count - inSight));
  const to = Math.max(0, Math.min(count, Math.ceil((screen - top) / height) + MARGIN));
  return { from, to, height };
}

/** Keeps up with scrolling and resizing, and with the number of rows. */
export function useVisible(body: { current: HTMLElement | null }, count: number): Signal<Visible> {
  const found = useMemo(() => signal(visible(count, ROW_HEIGHT, 0, innerHeight)), []);
  useLayoutEffect(() => {
    const look = () => {
      const element = body.current;
      if (element === null) return;
      const height = element.querySelector("tr")?.getBoundingClientRect().height || found.peek().height;
      const next = visible(count, height, element.getBoundingClientRect().top, innerHeight);
      const now = found.peek();
      if (next.from !== now.from || next.to !== now.to || next.height !== now.height) found.value = next;
    };
    look();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, [count]);
  return found;
}
