"""Checks of sites against their own lattice and image."""
