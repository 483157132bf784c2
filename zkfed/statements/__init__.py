"""What is proven: circuits with a meaning, and the public inputs that only a verifier computes."""
