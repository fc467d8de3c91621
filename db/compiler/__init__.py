"""The selection compiler: a GraphQL selection becomes one SQL statement that returns its JSON."""
