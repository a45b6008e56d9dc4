"""Reduction of raw and simulated files to DL1."""
