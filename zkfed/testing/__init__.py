"""Suites that anybody runs over an adapter of their own; they need pytest."""
