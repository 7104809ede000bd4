"""Checks of parameters and arrays, optional packages, and writing of files."""
