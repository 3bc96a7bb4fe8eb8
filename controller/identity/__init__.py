"""Who is at the other end: certificates, tokens, and what the settings bind them to."""
