"""The live layer: WebSockets, server-sent events, and the feeds that a subscription becomes."""
