"""Shows events to people and programs: plain lines, rich, notebook, JSON lines."""
