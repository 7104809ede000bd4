"""Tables and files of sites: pandas, CSV, HDF5."""
