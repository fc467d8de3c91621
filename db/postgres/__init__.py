"""PostgreSQL itself: the pool, the embedded server, URLs, migrations, and statements as text."""
