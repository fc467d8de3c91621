import type { staffNewTicket as english } from "../en/staff_new_ticket.ts";
import type { Translated } from "../language.ts";

export const staffNewTicket: Translated<typeof english> = {
  title: "Nouveau billet",
  optional: "facultatif",
  customer: {
    label: "Recherche de client",
    hint: "Tapez un nom, un courriel ou un numéro de compte",
    none: "Aucun client trouvé. Vous pouvez saisir les coordonnées à la main.",
    searching: "Recherche…",
    failed: "La recherche ne fonctionne pas en ce moment.",
    found: (number) => number === 1 ? "1 résultat" : `${number} résultats`,
    chosen: "Client",
    change: "Changer",
  },
  property: { label: "Lieu", none: "Aucun lieu" },
  name: { label: "Nom", hint: "Exemple : Jean Tremblay" },
  email: { label: "Courriel", hint: "Pour les confirmations et les nouvelles. Exemple : jean@example.com" },
  phone: { label: "Téléphone", hint: "Exemple : 613-555-1234" },
  subject: { label: "Sujet", hint: "Exemple : Le panneau d’alarme sonne depuis la panne" },
  description: {
    label: "Description",
    hint:
      "Depuis quand? Quels codes d’erreur? Qu’a-t-on essayé? Exemple : Le panneau DSC sonne depuis la panne d’hier soir. L’écran indique une pile faible. Modèle : DSC 1832.",
  },
  category: { label: "Catégorie" },
  priority: { label: "Priorité" },
  technician: { label: "Assigner à" },
  create: "Créer le billet",
  creating: "Création…",
  waiting: "Pas de connexion. Le billet sera créé dès que le serveur sera joignable.",
  discard: "Abandonner le brouillon",
  restored: "Voici ce que vous aviez déjà tapé.",
  tooLong: "C’est trop long pour être conservé si vous quittez la page.",
  failed: (reason) => `Le billet n’a pas été créé : ${reason}`,
  wrong: (number) => number === 1 ? "Un champ est à revoir." : `${number} champs sont à revoir.`,
  earlier: (reference) =>
    `${reference} avait déjà été créé, avant que la connexion soit perdue et que vous changiez le texte. Ce qui est ici n’y figure pas.`,
  open: (reference) => `Ouvrir ${reference}`,
  errors: {
    required: "Ce champ est obligatoire.",
    email: "Ce n’est pas une adresse de courriel.",
    tooLong: (most) => `Au plus ${most} caractères.`,
  },
};
