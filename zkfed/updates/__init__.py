"""The messages of a round: what each party signs, by digest, in canonical bytes."""
