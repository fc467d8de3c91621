import type { upload as english } from "../en/upload.ts";
import type { Translated } from "../language.ts";

export const upload: Translated<typeof english> = {
  choose: "Ajouter des fichiers",
  drop: "ou déposez-les ici, ou collez une image",
  list: "Fichiers en cours d’envoi",
  progress: (name) => `Envoi de ${name}`,
  pause: (name) => `Suspendre ${name}`,
  resume: (name) => `Reprendre ${name}`,
  again: (name) => `Réessayer ${name}`,
  remove: (name) => `Retirer ${name}`,
  state: {
    PREPARING: "Préparation…",
    WAITING: "En attente de la connexion…",
    UPLOADING: "Envoi…",
    PAUSED: "Suspendu",
    DONE: "Envoyé",
    FAILED: "Non envoyé",
  },
  failure: {
    EMPTY: "Le fichier est vide.",
    UNREADABLE: "Le fichier ne peut pas être lu.",
    REJECTED: "Le serveur a rejeté le fichier.",
    REFUSED: "Le serveur n’accepte pas le fichier.",
  },
};
