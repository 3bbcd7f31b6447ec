"""Runs the PyTorch reference and writes what it computes as dumps that `cosy-jax parity` reads.

Everything here runs in the reference's environment: it imports torch, the checkout and what these need, nothing of
cosy_jax and no other module of conversions.
"""
