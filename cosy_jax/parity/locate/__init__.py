"""Where a port leaves the reference: layers, Euler steps, and what is wrong there."""
