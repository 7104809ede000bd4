"""Pictures of the examples in the gallery."""

import matplotlib.pyplot as plt
from sphinx_gallery.scrapers import matplotlib_scraper


def scrape_figures(block, block_vars, gallery_conf, **options):
    """Save the figures of a block of an example; refuse empty axes.

    Figures are saved and closed at the end of each block, so that what a later block
    draws into their axes is lost.
    """
    for number in plt.get_fignums():
        if any(ax.axison and not ax.has_data() for ax in plt.figure(number).axes):
            raise ValueError(f"Figure {number} has axes without content.")
    return matplotlib_scraper(block, block_vars, gallery_conf, **options)
