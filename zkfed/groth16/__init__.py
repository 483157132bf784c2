"""Groth16 with committed segments, links to transparent commitments and staged challenges."""
