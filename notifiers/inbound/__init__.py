"""Mail that comes in: fetched over IMAP, parsed, and reduced to what its author wrote."""
