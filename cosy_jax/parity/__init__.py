"""Numerical parity with the PyTorch reference: dumps of its tensors against the same stage here."""
