"""Authentication: viewers from bearer tokens, the issuer's keys, and tokens issued for development."""
