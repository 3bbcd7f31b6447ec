"""The checks, a module a kind of dump."""
