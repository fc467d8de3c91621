import type { ticketWords as english } from "../en/ticket_words.ts";
import type { Translated } from "../language.ts";

export const ticketWords: Translated<typeof english> = {
  status: { OPEN: "Ouvert", IN_PROGRESS: "En cours", RESOLVED: "Résolu", CLOSED: "Fermé" },
  priority: { LOW: "Basse", MEDIUM: "Moyenne", HIGH: "Haute", URGENT: "Urgente" },
  priorityHelp: {
    LOW: "Problème mineur, sans urgence",
    MEDIUM: "Priorité normale",
    HIGH: "À traiter rapidement",
    URGENT: "Critique : système en panne ou brèche de sécurité",
  },
  category: {
    ALARM: "Alarme",
    CCTV: "Vidéosurveillance",
    ACCESS_CONTROL: "Contrôle d’accès",
    INTERCOM: "Interphone",
    GENERAL: "Général",
  },
  source: {
    ADMIN: "par l’administration",
    TECHNICIAN: "par un technicien",
    CHATBOT: "par le robot de clavardage",
    EMAIL: "par courriel",
    CUSTOMER: "par le client",
  },
  actor: {
    ADMIN: "Administration",
    TECHNICIAN: "Technicien",
    CUSTOMER: "Client",
    SERVICE: "Service",
    SYSTEM: "Système",
  },
  unassigned: "Non assigné",
};
