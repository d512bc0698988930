"""Data before it meets a network: checks, splits and preparation. Only numpy, never JAX."""
