"""Execution: parses documents, prepares operations, checks their cost and runs them."""
