"""Mutations and computed fields, one module for each entity: the rules, the permissions, one transaction a mutation."""
