"""Execution: documents, prepared operations, their cost, and running them."""
