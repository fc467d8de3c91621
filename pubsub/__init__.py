"""Delivers new events to subscribers in every process: the bell, the tail, the hub and the send queues."""
