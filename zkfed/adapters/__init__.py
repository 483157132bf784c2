"""What moves bytes: one module per transport, each an implementation of `zkfed.ports`."""
