"""The operators; ``sei`` has them all."""
