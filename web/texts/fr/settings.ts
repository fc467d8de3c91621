import type { settings as english } from "../en/settings.ts";
import { numberOf, type Translated } from "../language.ts";

export const settings: Translated<typeof english> = {
  title: "Réglages",
  sections: "Réglages",
  support: "Soutien",
  technicians: "Techniciens",
  admins: "Administrateurs",
  sessions: "Sessions",
  changed: "Dernière modification",
  invalidNumber: (most) => `Entrez un nombre entier de 0 à ${numberOf(most)}.`,
  email: {
    title: "Courriel",
    recipients: "Destinataires de l’administration",
    recipientsHint:
      "Une adresse par ligne. L’administration y est avisée, entre autres, des nouveaux billets et de ceux qui sont refusés.",
    off: "Ce serveur n’envoie aucun courriel : CALLOUT_SMTP_URL n’est pas défini.",
    test: "Envoyer un courriel d’essai",
    testHint: "Un courriel d’essai est envoyé à chaque destinataire enregistré.",
    sent: (recipient, said) => `Envoyé à ${recipient}. Le serveur de courriel a répondu : ${said}`,
    notSent: (recipient, said) => `Non envoyé à ${recipient} : ${said}`,
  },
  chat: {
    title: "Google Chat",
    isSet: "Une URL de webhook est définie. Comme elle est secrète, elle n’est pas affichée.",
    isNotSet:
      "Aucune URL de webhook n’est définie. Créez-en une dans l’espace : Applications et intégrations → Webhooks.",
    url: "URL du webhook",
    newUrl: "Autre URL de webhook",
    urlNeeded: "Collez d’abord l’URL.",
    saveUrl: "Enregistrer l’URL",
    remove: "Retirer l’URL",
    removeQuestion: "Retirer l’URL du webhook? Les avis ne seront plus publiés dans Google Chat.",
    removed: "Retirée",
    enabled: "Publier les avis dans Google Chat",
    off: "Ce serveur ne publie pas dans Google Chat.",
    test: "Publier un message d’essai",
    testHint: "Un message d’essai est publié même si les avis ne le sont pas.",
    sent: (_, said) => `Publié dans l’espace. Google Chat a répondu : ${said}`,
    notSent: (_, said) => `Non publié : ${said}`,
  },
  push: {
    title: "Appareils",
    text: "Chaque personne active les avis d’un appareil dans l’application qu’elle y utilise.",
    off: "Ce serveur n’avise aucun appareil : CALLOUT_PUSH_PRIVATE_KEY n’est pas défini.",
    test: "Aviser mes appareils",
    testHint: "Un avis d’essai est envoyé à vos propres appareils.",
    sent: (_, said) => `Envoyé à l’un de vos appareils. Le service d’avis a répondu : ${said}`,
    notSent: (_, said) => `Non envoyé à l’un de vos appareils : ${said}`,
  },
  testing: "Envoi en cours…",
  notices: {
    title: "Ce dont on est avisé",
    text: "Un changement s’applique à ce qui se produit par la suite.",
    caption: "Canaux de chaque avis",
    notification: "Avis",
    channels: { email: "Courriel", googleChat: "Google Chat", push: "Appareil" },
    kinds: {
      CREATED: "Un billet est créé",
      ASSIGNED: "Un billet est assigné à un technicien",
      UNASSIGNED: "Un billet est retiré à un technicien",
      DECLINED: "Un technicien refuse un billet",
      OVERDUE: "Un technicien ne répond pas à temps",
      NOTE_ADDED: "Le personnel ajoute une note ou un fichier public",
      CUSTOMER_ANSWERED: "Un client répond",
      RESOLVED: "Un billet est résolu",
      REOPENED: "Un billet est rouvert",
    },
  },
  answers: {
    title: "Réponses aux billets fermés",
    reopenDays: "Jours de réouverture",
    reopenDaysHint:
      "Durant ce nombre de jours après la fermeture d’un billet, la réponse d’un client le rouvre. Plus tard, elle " +
      "crée un nouveau billet. 0 pour jamais.",
  },
  overdue: {
    title: "Assignations en retard",
    text:
      "Sans réponse du technicien après ce nombre de minutes, l’assignation est en retard. Laissez un champ vide pour " +
      "jamais.",
    minutes: (priority) => `${priority} (min)`,
  },
};
