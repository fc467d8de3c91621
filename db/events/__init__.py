"""The event log: writing and pruning events, positions, stream cursors and what can be replayed from them, and the
stored counts of tickets."""
