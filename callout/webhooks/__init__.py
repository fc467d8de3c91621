"""Webhooks: subscriptions whose messages are posted to a URL, and the worker that carries them."""
