"""The report of an analysis: one HTML file with pictures, tables and a viewer."""
