"""The live layer: WebSockets, server-sent events, and the feeds behind subscriptions."""
