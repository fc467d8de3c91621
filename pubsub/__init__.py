"""Delivers new events to subscribers in every process: the bell, the tail, the hub, replay and the send queues."""
