"""The command line, `zkfed`: one module per command; standard library only, output through `output.py`."""
