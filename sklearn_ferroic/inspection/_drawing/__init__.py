"""Artists that several displays share: colours, cells, keys and axes."""
