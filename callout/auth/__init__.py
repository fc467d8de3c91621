"""Authentication: who is asking, the issuer's keys, and tokens for people at a terminal."""
