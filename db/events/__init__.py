"""The event log: writing and pruning events, positions, stream cursors, and the kept counts of tickets."""
