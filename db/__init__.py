"""The database: tables, migrations, engine and embedded server, event log, filters, visibility, and the compiler.

Imports nothing from the rooms above it.
"""
