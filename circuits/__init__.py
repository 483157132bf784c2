"""The frozen statements: what each claims, its shape and digests, accept and reject vectors."""
