"""What find_domains and find_walls share: segmentation, and attributes of tables."""
