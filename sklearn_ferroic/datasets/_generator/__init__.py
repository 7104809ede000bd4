"""Generator of images with ground truth: crystal, domains, columns, microscope."""
