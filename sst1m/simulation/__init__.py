"""Simulated observatory: raw files and events without licensed software."""
