"""Data to try Callout with: the demo company, and tickets in bulk."""
