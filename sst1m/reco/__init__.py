"""Reconstruction: from image parameters to energy, particle and direction."""
