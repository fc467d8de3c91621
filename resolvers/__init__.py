"""What happens: one module for each entity; rules, permissions, one transaction for each mutation."""
