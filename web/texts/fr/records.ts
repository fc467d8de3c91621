import type { records as english } from "../en/records.ts";
import { count, numberOf, type Translated } from "../language.ts";

export const records: Translated<typeof english> = {
  search: "Rechercher",
  more: "Afficher la suite",
  none: "Rien trouvé",
  otherWords: "Essayez d’autres mots.",
  otherFilters: "Choisissez d’autres filtres.",
  clear: "Effacer les filtres",
  selectAll: (number) => `Tout sélectionner (${numberOf(number)})`,
  selected: (number) => count(number, "élément sélectionné", "éléments sélectionnés"),
  clearSelection: "Tout désélectionner",
  succeeded: (number) => `Fait pour ${numberOf(number)}.`,
  failed: (number) => `Impossible pour ${numberOf(number)} :`,
  save: "Enregistrer",
  saved: "Enregistré",
  missing: "Cela n’existe plus",
  tickets: (number) => count(number, "billet", "billets"),
  theirs: (value) =>
    `Un collègue a modifié ceci entre-temps : ${value}. Si vous enregistrez, votre version le remplacera.`,
  on: "activé",
  off: "désactivé",
  empty: "vide",
  customers: {
    title: "Clients",
    new: "Nouveau client",
    add: "Ajouter le client",
    searchHint: "Nom, courriel ou numéro de compte",
    none: "Aucun client pour l’instant",
    noneText: "Ajoutez le premier, et ses propriétés avec lui.",
    total: (number) => count(number, "client", "clients"),
    onFile: "Au dossier",
    name: "Nom",
    email: "Courriel",
    phone: "Téléphone",
    accountNumber: "Numéro de compte",
    properties: "Lieux",
    addProperty: "Ajouter un lieu",
    address: "Adresse",
    accessNotes: "Notes d’accès",
    erased: "Les données de ce client ont été effacées.",
  },
  properties: {
    title: "Lieux",
    searchHint: "Adresse ou numéro de compte",
    none: "Aucune propriété pour l’instant",
    total: (number) => count(number, "lieu", "lieux"),
    added: "Un lieu s’ajoute sur la page de son client.",
    of: "Un lieu de",
    directions: "Itinéraire",
    accessNotesHint: "Où est la clé, qui appeler, quel chien : les techniciens le voient, les clients non.",
  },
  erasure: {
    title: "Effacer les données personnelles de ce client",
    what: "Pour un client qui l’a demandé. C’est irréversible :",
    steps: `Le nom, le courriel, le téléphone et le numéro de compte sont remplacés par des valeurs neutres.
L’adresse et le numéro de compte de ses lieux le sont aussi ; les notes d’accès sont supprimées.
Ses billets restent, mais ses coordonnées y sont remplacées, comme partout où elles sont écrites : dans les notes, les courriels, les articles et le journal.
Tous les fichiers de ses billets sont supprimés dans les deux jours.
Le client ne peut plus se connecter.
Les prénoms seuls, les surnoms et les fautes de frappe ne sont pas reconnus : corrigez ces textes avant. Les courriels envoyés et les sauvegardes ne sont pas touchés.
Un client qui a des billets ouverts ne peut pas être effacé. Résolvez-les ou fermez-les d’abord.`,
    confirm: (accountNumber) => `Pour confirmer, tapez le numéro de compte ${accountNumber}`,
    different: (accountNumber) => `Ce n’est pas le numéro de compte. Tapez ${accountNumber}.`,
    erase: "Effacer définitivement",
    look: "Voir où en est l’effacement",
    done: "Tout est effacé.",
    left: (number) =>
      `Le serveur continue : il reste ${count(number, "billet", "billets")}, puis le reste est parcouru.`,
  },
  articles: {
    title: "Base de connaissances",
    new: "Nouvel article",
    add: "Ajouter l’article",
    searchHint: "Le sujet de l’article",
    none: "Aucun article pour l’instant",
    noneText: "Rédigez-en un ici, ou tirez-en un d’un billet résolu : le robot s’en sert pour répondre.",
    total: (number) => count(number, "article", "articles"),
    problem: "Problème",
    solution: "Solution",
    publish: "Publié : les clients et le robot le trouvent",
    published: "Publié",
    draft: "Non publié",
    source: "Tiré du billet",
  },
};
