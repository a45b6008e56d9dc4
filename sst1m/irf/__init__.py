"""Instrument responses: weights, gammaness cuts, the four components, and the look-up between nodes."""
