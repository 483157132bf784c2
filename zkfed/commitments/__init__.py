"""Transparent commitments: generators from hashing to the curve, no trusted setup."""
