import type { keys as english } from "../en/keys.ts";
import { count, type Translated } from "../language.ts";

export const keys: Translated<typeof english> = {
  tabs: "Clés et webhooks",
  title: "Clés d’API",
  total: (number) => count(number, "clé d’API", "clés d’API"),
  none: "Aucun programme n’a encore de clé",
  noneText:
    "Un robot de clavardage, une passerelle de courriel ou votre propre programme en a besoin pour utiliser l’API.",
  new: "Nouvelle clé d’API",
  add: "Créer la clé",
  name: "Nom",
  nameHint: "Le programme qui utilise la clé.",
  scope: "Portée",
  scopes: {
    CHATBOT: "Robot : lit les articles, crée et suit des billets",
    MAIL_GATEWAY: "Passerelle de courriel : remet du courriel, et rien d’autre",
  },
  scopeNames: { CHATBOT: "Robot", MAIL_GATEWAY: "Passerelle de courriel" },
  everything: "Tout ce qu’un programme peut faire (ancienne clé)",
  expires: "Cesse de fonctionner le",
  expiresHint: "Vide si jamais.",
  prefix: "Commence par",
  createdAt: "Créée",
  createdBy: "Créée par",
  lastUsedAt: "Dernière utilisation",
  unused: "Pas encore",
  revokedAt: "Révoquée",
  revoked: "Révoquée",
  expired: "Expirée",
  active: "Active",
  change: "Modifier",
  revoke: "Révoquer la clé",
  revokeQuestion: (name) =>
    `Révoquer la clé de ${name} ? Le programme perd l’accès en moins d’une seconde, pour de bon.`,
  secretTitle: "Copiez-la maintenant",
  secretWarning:
    "Elle n’est affichée que cette fois, et conservée nulle part. Qui l’a peut faire tout ce que sa portée permet.",
  keyLabel: "Clé d’API",
  copy: "Copier",
  copied: "Copié",
  notCopied: "Le navigateur ne le permet pas : le texte est sélectionné, copiez-le avec Ctrl C.",
  stored: "Je l’ai conservée",
  lost:
    "La clé a été créée, mais la réponse qui la contenait s’est perdue, et elle n’est affichée qu’une fois. Révoquez-la, et créez-en une autre.",
  toKey: "Vers la clé",
};
