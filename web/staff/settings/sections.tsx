/** The way between the pages of the settings. */

import { useLocation } from "preact-iso";
import { settings as texts } from "../../texts/settings.ts";

const SECTIONS = [
  { href: "/settings", name: texts.support },
  { href: "/technicians", name: texts.technicians },
  { href: "/admins", name: texts.admins },
  { href: "/settings/sessions", name: texts.sessions },
];

export function Sections() {
  const { path } = useLocation();
  return (
    <nav class="tabs" aria-label={texts.sections}>
      {SECTIONS.map(({ href, name }) => (
        <a key={href} href={href} aria-current={path === href ? "page" : undefined}>{name}</a>
      ))}
    </nav>
  );
}
