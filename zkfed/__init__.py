"""zkfed: collective learning that can be checked instead of trusted."""
