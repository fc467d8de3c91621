"""The event log: writing events, positions in it and the cursors made of them, and the counts kept from it."""
