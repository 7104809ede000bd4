"""Displays of latents."""
