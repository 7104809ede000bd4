"""Display of the scores of a parameter search."""

import numpy as np

from ..._utils.optional import import_optional
from .._data.search_table import best_by_cell, choose_parameters, score_columns
from .._drawing.axes import get_axes
from .._drawing.colors import get_colormap
from .._drawing.layout import score_format, value_text

# Size of a cell and of the margin around the cells, inches.
_CELL_INCHES = (0.95, 0.62)
_MARGIN_INCHES = (2.6, 1.2)
# Inches of a letter.
_LETTER_INCHES = 0.09


class SearchResultsDisplay:
    """Heat map of a parameter search over two of its parameters.

    Each cell gives the mean score over the folds and its standard deviation. Where
    the search varied other parameters too, the cell shows the candidate that scored
    best. The best cell is framed. Parameters of a pipeline's steps go by what follows
    the last ``__`` where these are unique. It is recommended to use
    :meth:`from_estimator` or :meth:`from_cv_results` to make a display. All parameters
    are stored as attributes.

    Parameters
    ----------
    mean : ndarray of shape (n_y, n_x)
        Mean scores; NaN where a fit failed or nothing was tried.
    std : ndarray of shape (n_y, n_x)
        Standard deviations over the folds.
    x_values, y_values : sequence of length n_x, n_y
        Values of the two parameters.
    params : tuple of str (x, y)
        Names of the two parameters.
    others : sequence of str, default=()
        Names of the parameters over which the best was taken.
    tried : ndarray of bool of shape (n_y, n_x), default=None
        Where a candidate was tried; everywhere by default.
    score_name : str, default="score"
        Name of the score.
    tied : ndarray of bool of shape (n_y, n_x), default=None
        Cells whose candidate cannot be distinguished from the best one. Their frames
        are dashed.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        The cells; the values of `y_values` go downwards.
    texts_ : ndarray of matplotlib Text of shape (n_y, n_x)
        Mean and standard deviation in each cell; None with ``annotate=False``.
    best_ : matplotlib Rectangle or None
        The frame of the best cell; None if all fits failed.
    ties_ : list of matplotlib Rectangle
        Dashed frames of the cells that are tied with the best one.
    best_index_ : tuple of int (row, col) or None
        The best cell.
    colorbar_ : matplotlib Colorbar
        The colour bar.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : Makes the scores.
    sklearn.model_selection.ValidationCurveDisplay : Scores over one parameter.

    Notes
    -----
    The standard deviation is that of the scores of single folds, not the standard
    error of their mean, and folds share training samples: cells that differ by less
    than it may still be ordered reliably, or not.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.svm import SVC
    >>> from sklearn_ferroic.inspection import SearchResultsDisplay
    >>> search = GridSearchCV(SVC(), {"C": [0.1, 1], "gamma": [0.01, 0.1, 1]})
    >>> search = search.fit(*load_iris(return_X_y=True))
    >>> display = SearchResultsDisplay.from_estimator(search)
    >>> [label.get_text() for label in display.ax_.get_xticklabels()]
    ['0.1', '1']
    """

    def __init__(
        self,
        mean,
        std,
        x_values,
        y_values,
        *,
        params,
        others=(),
        tried=None,
        score_name="score",
        tied=None,
    ):
        self.mean = mean
        self.std = std
        self.x_values = x_values
        self.y_values = y_values
        self.params = params
        self.others = others
        self.tried = tried
        self.score_name = score_name
        self.tied = tied

    @classmethod
    def from_estimator(
        cls,
        search,
        *,
        params=None,
        scoring=None,
        comparison=None,
        annotate=True,
        cmap="viridis",
        ax=None,
    ):
        """Draw the results of a fitted search.

        Parameters
        ----------
        search : GridSearchCV, RandomizedSearchCV or similar
            A fitted search with `cv_results_`.
        params : tuple of str (x, y), default=None
            The parameters of abscissa and ordinate; the only two that vary by default.
        scoring : str, default=None
            Which score of several to draw; that of `refit`, or the only one, by
            default.
        comparison : DataFrame, default=None
            Result of :func:`~sklearn_ferroic.model_selection.compare_candidates`:
            candidates that cannot be distinguished from the best one are marked.
        annotate : bool, default=True
            Whether to write the scores into the cells.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours of the mean scores.
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.

        Returns
        -------
        display : SearchResultsDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `search` has no `cv_results_`.
        ValueError
            As :meth:`from_cv_results`.
        """
        if not hasattr(search, "cv_results_"):
            raise TypeError(
                "SearchResultsDisplay needs a fitted search with cv_results_, such as "
                f"GridSearchCV(...).fit(sites), got {type(search).__name__}."
            )
        refit = getattr(search, "refit", None)
        if scoring is None and f"mean_test_{refit}" in search.cv_results_:
            scoring = refit
        return cls.from_cv_results(
            search.cv_results_,
            params=params,
            scoring=scoring,
            comparison=comparison,
            annotate=annotate,
            cmap=cmap,
            ax=ax,
        )

    @classmethod
    def from_cv_results(
        cls,
        cv_results,
        *,
        params=None,
        scoring=None,
        comparison=None,
        annotate=True,
        cmap="viridis",
        ax=None,
    ):
        """Draw the table of results of a search.

        Parameters
        ----------
        cv_results : dict
            As `cv_results_` of GridSearchCV.
        params : tuple of str (x, y), default=None
            The parameters of abscissa and ordinate; the only two that vary by default.
            Candidates that lack one of them are left out.
        scoring : str, default=None
            Which score of several to draw; the only one by default.
        comparison : DataFrame, default=None
            Result of :func:`~sklearn_ferroic.model_selection.compare_candidates`:
            candidates that cannot be distinguished from the best one are marked.
        annotate : bool, default=True
            Whether to write the scores into the cells.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours of the mean scores.
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.

        Returns
        -------
        display : SearchResultsDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If `params` or `scoring` are not those of the search, or are needed because
            there are several, if `comparison` is of other candidates, or if the search
            is one of successive halving, whose scores do not compare: they were taken
            with different resources.
        """
        if "n_resources" in cv_results:
            raise ValueError(
                "Scores of successive halving were taken with different resources and "
                "do not compare in one heat map."
            )
        mean, std, scoring = score_columns(cv_results, scoring)
        candidates = list(cv_results["params"])
        params, others = choose_parameters(candidates, params)
        best, x_values, y_values = best_by_cell(candidates, mean, params)
        tried = best >= 0
        tied = None
        if comparison is not None:
            if list(comparison["params"]) != candidates:
                raise ValueError(
                    "comparison is not of the candidates of this search. Pass the "
                    "result of compare_candidates for the same cv_results_."
                )
            tied = tried & comparison["is_tied"].to_numpy()[best]
        display = cls(
            np.where(tried, mean[best], np.nan),
            np.where(tried, std[best], np.nan),
            x_values,
            y_values,
            params=params,
            others=others,
            tried=tried,
            score_name=scoring,
            tied=tied,
        )
        return display.plot(ax, annotate=annotate, cmap=cmap)

    def plot(self, ax=None, *, annotate=True, cmap="viridis"):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        annotate : bool, default=True
            Whether to write the scores into the cells.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours of the mean scores.

        Returns
        -------
        display : SearchResultsDisplay
            The display itself.
        """
        n_y, n_x = self.mean.shape
        names = self._short_names()
        letters = np.array([len(names[name]) for name in self.params]) * _LETTER_INCHES
        size = np.maximum(np.array([n_x, n_y]) * _CELL_INCHES, letters) + _MARGIN_INCHES
        ax = get_axes(ax, figsize=tuple(size))
        self.image_ = ax.imshow(
            np.ma.masked_invalid(self.mean), cmap=get_colormap(cmap), aspect="auto"
        )
        self._label_axes(ax, names)
        self.texts_ = None
        if annotate:
            self.texts_ = self._write_scores(ax)
        self.best_index_ = self.best_ = None
        if np.isfinite(self.mean).any():
            best = np.unravel_index(np.nanargmax(self.mean), self.mean.shape)
            self.best_index_ = tuple(int(place) for place in best)
            self.best_ = _frame(ax, *self.best_index_)
            if annotate:
                self.texts_[self.best_index_].set_weight("bold")
        self.ties_ = []
        if self.tied is not None:
            ties = np.argwhere(self.tied).tolist()
            self.ties_ = [
                _frame(ax, *place, linestyle="dashed")
                for place in ties
                if tuple(place) != self.best_index_
            ]
            if self.ties_:
                if self.others:  # the title is above this line
                    ax.set_title(ax.get_title(), fontsize="medium", pad=20)
                text = "dashed: cannot be distinguished from the best"
                ax.annotate(
                    text,
                    (0, 1),
                    (0, 6),
                    xycoords="axes fraction",
                    textcoords="offset points",
                    fontsize="small",
                )
        self.colorbar_ = ax.figure.colorbar(
            self.image_, ax=ax, label=f"mean {self.score_name} of the folds"
        )
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    def _short_names(self):
        """Remove the step from parameter names if the rest is unique."""
        full = [*self.params, *self.others]
        short = [name.rpartition("__")[2] for name in full]
        return {
            name: last if short.count(last) == 1 else name
            for name, last in zip(full, short, strict=True)
        }

    def _label_axes(self, ax, names):
        x_texts, y_texts = (
            [value_text(value) for value in values]
            for values in (self.x_values, self.y_values)
        )
        ax.set_xticks(range(len(x_texts)), x_texts)
        ax.set_yticks(range(len(y_texts)), y_texts)
        ax.tick_params(length=0)
        width = ax.figure.get_figwidth() * ax.get_position().width / len(x_texts)
        if max(map(len, x_texts)) * _LETTER_INCHES > 0.8 * width:
            for label in ax.get_xticklabels():
                label.set(rotation=30, ha="right", rotation_mode="anchor")
        ax.set(xlabel=names[self.params[0]], ylabel=names[self.params[1]])
        if self.others:
            others = "\n".join(names[name] for name in self.others)
            ax.set_title(f"best over\n{others}", fontsize="medium")

    def _write_scores(self, ax):
        write = score_format(self.mean, self.std)
        texts = np.empty(self.mean.shape, dtype=object)
        for row, col in np.ndindex(*self.mean.shape):
            mean, std = self.mean[row, col], self.std[row, col]
            if np.isfinite(mean):
                text = f"{write(mean)}\n± {write(std)}"
            else:
                is_tried = self.tried is None or self.tried[row, col]
                text = "failed" if is_tried else "not tried"
            red, green, blue, _ = self.image_.cmap(self.image_.norm(mean))
            # Rec. 709 luma: black letters on light cells.
            is_light = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5
            color = "black" if is_light or not np.isfinite(mean) else "white"
            texts[row, col] = ax.text(
                col, row, text, ha="center", va="center", color=color, fontsize="small"
            )
        return texts


def _frame(ax, row, col, linestyle="solid"):
    """Draw a frame, black on white so that it is visible on any colour."""
    rectangle = import_optional("matplotlib.patches", "plot").Rectangle
    for color, width in [("white", 5), ("black", 2.5)]:
        # Cut at the axes, a frame at their rim would be half as wide.
        frame = rectangle(
            (col - 0.5, row - 0.5), 1, 1, fill=False, ec=color, lw=width, clip_on=False
        )
        if color == "black":
            frame.set_linestyle(linestyle)
        ax.add_patch(frame).set_zorder(4)
    return frame
