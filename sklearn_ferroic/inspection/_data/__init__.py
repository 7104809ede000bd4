"""Inputs of the displays: sites, features, windows and search results."""
