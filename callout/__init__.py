"""The application: settings, authentication, HTTP and the command line, wired over the schema."""
