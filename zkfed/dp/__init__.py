"""Differential privacy: calibrated integer noise, and what has been spent.

`noise` draws the discrete Gaussian that each of the adders and the key holder adds to the
exact sum. `accounting` composes the charges over attempts and rounds and prints the
guarantee. Both read every charge from OpenDP's own maps (its `contrib` mechanisms, which
are not fully vetted), never from a closed form.
"""
