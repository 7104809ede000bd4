"""Segmentation and attributes of tables, of find_domains and find_walls."""
