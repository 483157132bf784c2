"""Fields, curves, polynomials, and the backend protocol that computes on vectors of them."""
