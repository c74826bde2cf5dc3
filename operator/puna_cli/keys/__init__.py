"""`puna key`: API keys as members of a Secret. Only a key's SHA-256 is stored."""
