"""Runs the parties of a round over a transport and reports what happens as events."""
