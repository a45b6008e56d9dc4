"""Photon lists (DL3): self-contained GADF files, their index, and the HDF5 photon list."""
