"""A small U-Net that tells background, A and B columns apart."""
