/** Links in texts that anybody may have written: by mail, in a chat, in a note. */

/** A piece of a text: to be shown as it is, or as a link to `href`. */
export type Piece = { text: string; href: string | null };

// Without the characters that change the direction of a text, by which a link could seem to lead elsewhere.
const ADDRESS = /\bhttps?:\/\/[^\s<>"'`{}|\\^\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gi;
const MAIL = /(?<![\w.+-])[\w.+-]{1,64}@[a-z0-9-]+(?:\.[a-z0-9-]+)+(?![\w-])/gi;
const LONGEST = 2_000;

/** Splits a text at its links: addresses of pages (`http`, `https`) and of mail. The pieces, joined, are the text. */
export function pieces(text: string): Piece[] {
  const found = [...pages(text), ...mails(text)].sort((one, other) => one.from - other.from);
  const split: Piece[] = [];
  let reached = 0;
  for (const { from, to, href } of found) {
    if (from < reached) continue;
    if (from > reached) split.push({ text: text.slice(reached, from), href: null });
    split.push({ text: text.slice(from, to), href });
    reached = to;
  }
  if (reached < text.length) split.push({ text: text.slice(reached), href: null });
  return split;
}

interface Found {
  from: number;
  to: number;
  href: string;
}

function pages(text: string): Found[] {
  return [...text.matchAll(ADDRESS)].flatMap((match) => {
    const address = withoutPunctuation(match[0]);
    const href = address.length > LONGEST ? null : URL.parse(address)?.href ?? null;
    return href === null ? [] : [{ from: match.index, to: match.index + address.length, href }];
  });
}

function mails(text: string): Found[] {
  return [...text.matchAll(MAIL)].map(({ 0: address, index }) => {
    return { from: index, to: index + address.length, href: mailTo(address) };
  });
}

/** An address at the end of a sentence or in brackets ends before them. */
function withoutPunctuation(address: string): string {
  let end = address.length;
  while (end > 0) {
    const last = address[end - 1]!;
    const open = last === ")" ? "(" : last === "]" ? "[" : null;
    if (open !== null) {
      const inside = address.slice(0, end);
      if (inside.split(open).length >= inside.split(last).length) break;
    } else if (!".,;:!?*_~".includes(last)) break;
    end--;
  }
  return address.slice(0, end);
}

/** The link that writes to an address. What follows in it, such as `?bcc=`, is part of the address and nothing else. */
export function mailTo(address: string): string {
  return `mailto:${encodeURIComponent(address).replaceAll("%40", "@")}`;
}

/** The link that calls a number; null if it has no digits. */
export function call(phone: string): string | null {
  const number = phone.replace(/(?!^\+)\D/g, "");
  return /\d/.test(number) ? `tel:${number}` : null;
}

/** The link to a map that shows the way to an address. */
export function directions(address: string): string {
  return `https://www.google.com/maps/dir/?api=1&destination=${encodeURIComponent(address)}`;
}
