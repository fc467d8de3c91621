"""Who is told of what, by email and Google Chat, and the mail that comes in."""
