import type { shell as english } from "../en/shell.ts";
import { count, type Translated } from "../language.ts";

export const shell: Translated<typeof english> = {
  skip: "Aller au contenu",
  navigation: "Principal",
  pages: {
    tickets: "Billets",
    newTicket: "Nouveau billet",
    customers: "Clients",
    properties: "Lieux",
    articles: "Base de connaissances",
    inbox: "Boîte de réception",
    deliveries: "Envois",
    settings: "Réglages",
    technicians: "Techniciens",
    admins: "Administrateurs",
    keys: "Clés",
    audit: "Journal",
  },
  menu: "Menu",
  you: "Vous",
  sessions: "Vos sessions",
  passkeys: "Clés d’accès",
  signOut: "Se déconnecter",
  losesDrafts: (number) =>
    `${
      count(number, "brouillon non envoyé sera supprimé", "brouillons non envoyés seront supprimés")
    }. Se déconnecter?`,
  lookAs: "Voir en tant que",
  theme: "Thème",
  themes: { system: "Comme le système", light: "Clair", dark: "Sombre" },
  language: "Langue",
  help: "Raccourcis clavier",
  keysWork: "Utiliser les touches de cette liste",
  helpKey: "Afficher cette aide",
  goToTickets: "Aller aux billets",
  palette: "Aller à…",
  paletteHint: "Une page, une référence ou des mots d’un billet",
  paletteNone: "Rien trouvé",
  paletteSearching: "Recherche dans les billets…",
  paletteFailed: "La recherche de billets ne fonctionne pas en ce moment.",
  close: "Fermer",
  failed: "Cette page ne fonctionne pas en ce moment",
  failedText:
    "Ce que vous avez écrit est conservé. Rechargez la page ; si cela se reproduit, montrez ceci à la personne qui gère le serveur :",
  request: "Requête",
  reload: "Recharger",
  notLoaded: "Cette page n’a pas pu être chargée",
  notLoadedText: "Le serveur n’a pas répondu, ou sa version est plus récente. Ce que vous avez écrit est conservé.",
  missing: "Cette page n’existe pas",
  roles: { ADMIN: "Administrateur", TECHNICIAN: "Technicien", CUSTOMER: "Client" },
};
