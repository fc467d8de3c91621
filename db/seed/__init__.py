"""Invented data: the demo company, and tickets in bulk."""
