"""Constraints with a name: each gadget equals a plain function and pins every wire it adds."""
