"""Notifications by e-mail and Google Chat: who is notified of what, and how. Inbound mail is in `notifiers/inbound`."""
