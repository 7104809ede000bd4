"""Order of the examples in the gallery."""

from pathlib import Path

from sphinx_gallery.sorting import ExampleTitleSortKey

FIRST = ("plot_tutorial.py", "plot_displays.py")


class TutorialFirst(ExampleTitleSortKey):
    """The tutorial and the displays, then all others by their titles."""

    def __call__(self, filename):
        """Give what the example is sorted by."""
        name = Path(filename).name
        place = FIRST.index(name) if name in FIRST else len(FIRST)
        return place, super().__call__(filename)
