"""GraphQL over HTTP: the endpoint, its requests and errors, and the guard around all of it."""
