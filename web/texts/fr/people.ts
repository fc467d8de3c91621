import type { people as english } from "../en/people.ts";
import { count, type Translated } from "../language.ts";

export const people: Translated<typeof english> = {
  name: "Nom",
  email: "Courriel",
  phone: "Téléphone",
  emailHint: "Les liens de connexion y sont envoyés.",
  active: "Actif",
  inactive: "Inactif",
  everybody: "Actifs et inactifs",
  activity: "Actif ou inactif",
  onFile: "Au dossier",
  access: "Accès",
  signedIn: "Sessions ouvertes",
  technicians: {
    title: "Techniciens",
    new: "Nouveau technicien",
    add: "Ajouter le technicien",
    searchHint: "Nom, courriel ou téléphone",
    total: (number) => count(number, "technicien", "techniciens"),
    noneYet: "Il n’y a pas encore de technicien. Ajoutez le premier pour pouvoir assigner des billets.",
    open: (number) => count(number, "billet ouvert", "billets ouverts"),
    workload: "Charge de travail",
    inStatus: (number, status) => `${status} : ${number}`,
    idle: "Aucun billet ouvert.",
    deactivate: "Désactiver le technicien",
    deactivateText: (openTickets) =>
      "Une fois désactivé, le technicien est déconnecté partout, ne reçoit plus d’avis et ne peut plus être assigné. " +
      (openTickets === 0
        ? "Il n’a aucun billet ouvert."
        : `${
          count(openTickets, "billet ouvert lui reste assigné", "billets ouverts lui restent assignés")
        } jusqu’à ce que vous assigniez quelqu’un d’autre.`),
    deactivateQuestion: (name) => `Désactiver ${name}?`,
    activate: "Réactiver le technicien",
    activateText:
      "Le technicien ne peut ni se connecter ni être assigné. Une fois réactivé, il pourra de nouveau faire les deux.",
  },
  admins: {
    title: "Administrateurs",
    new: "Nouvel administrateur",
    add: "Ajouter l’administrateur",
    searchHint: "Nom ou courriel",
    total: (number) => count(number, "administrateur", "administrateurs"),
    noneYet: "Personne ne se connecte encore ici comme administrateur.",
    you: "Vous",
    deactivate: "Désactiver l’administrateur",
    deactivateText: "Une fois désactivé, l’administrateur est déconnecté partout et ne peut plus se connecter.",
    deactivateYourself: "Une fois désactivé, vous serez déconnecté partout et ne pourrez plus vous connecter.",
    deactivateQuestion: (name) => `Désactiver ${name}?`,
    activate: "Réactiver l’administrateur",
    activateText: "L’administrateur ne peut pas se connecter. Une fois réactivé, il le pourra de nouveau.",
  },
  sessions: {
    title: "Vos sessions",
    none: "Aucune session ouverte.",
    byToken: "Vous avez présenté un jeton : vous n’avez donc aucune session.",
    this: "Ce navigateur",
    device: (browser, system) => `${browser} sous ${system}`,
    unknown: "Navigateur inconnu",
    lastUsed: "Dernière utilisation",
    since: "connexion",
    end: "Déconnecter",
    endOf: (device) => `Déconnecter : ${device}`,
    endOthers: "Déconnecter partout ailleurs",
    endOthersQuestion: (number) => `Déconnecter ${count(number, "autre navigateur", "autres navigateurs")}?`,
    endQuestion: (device) => `Déconnecter ${device}?`,
    ended: (number) => `${count(number, "navigateur déconnecté", "navigateurs déconnectés")}.`,
  },
};
