"""Rank-1 constraint systems over tensors of wires: builder, system, witness."""
