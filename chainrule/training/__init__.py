"""Training: one state, one compiled program that advances it, and the host side that watches."""
