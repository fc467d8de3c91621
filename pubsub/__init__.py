"""How every process learns at once that the database has something new."""
