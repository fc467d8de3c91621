"""The database: tables and migrations, the pool and the embedded server, the event log, visibility, lists, and the
compiler.

Imports nothing from the packages above it.
"""
