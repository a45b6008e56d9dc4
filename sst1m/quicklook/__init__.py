"""First look at photon lists: theta², significance map, spectrum, light curve and their numbers."""
