"""GraphQL over HTTP: the endpoint, its requests and errors, and the middleware around it."""
