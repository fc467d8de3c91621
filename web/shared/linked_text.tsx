import { pieces } from "./links.ts";

/** A text that somebody has written, with its line breaks and with links. It is text, whatever it contains. */
export function LinkedText({ text }: { text: string }) {
  return (
    <div class="linked-text" dir="auto">
      {pieces(text).map(({ text, href }, index) =>
        href === null ? text : (
          <a
            key={index}
            href={href}
            target={href.startsWith("mailto:") ? undefined : "_blank"}
            rel="noopener noreferrer"
          >
            {text}
          </a>
        )
      )}
    </div>
  );
}
