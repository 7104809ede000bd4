"""Mixin for the weights of a trained network: files and calibration."""

from sklearn.utils.validation import check_is_fitted

from ..._image.input import check_images
from ..._torch.device import choose_device
from .evaluation import calibrate_on
from .labels import check_labels
from .locating import on_device
from .network import from_arrays
from .weights import Weights, start_weights, write_weights


class TrainedNetworkMixin:
    """Mixin of estimators that store the weights of a network as arrays."""

    @classmethod
    def from_pretrained(cls, path="pretrained", **parameters):
        """Make a fitted locator from a file of weights.

        Parameters
        ----------
        path : str or path-like, default="pretrained"
            A file of :meth:`save_weights`; by default the one in the package.
        **parameters : dict
            Parameters of the estimator.

        Returns
        -------
        locator : UNetAtomLocator
            With ``weights=path``.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file does not exist, is damaged or has other weights.
        """
        locator = cls(weights=path, **parameters)
        locator._validate_params()
        return locator._keep(start_weights(path))

    def calibrate(self, X, y):
        """Fit the sites' `probability` to labelled images.

        Parameters
        ----------
        X : array-like or container, or list of these
            The images; not those of the training.
        y : AtomSites, object with `positions` and `sublattice`, array, or list
            Labels as in `fit`.

        Returns
        -------
        self : object
            The locator, with another `confidence_`.

        Raises
        ------
        ValueError
            If all sites are right, or all wrong.
        """
        check_is_fitted(self)
        self._validate_params()
        images, _, _ = check_images(X)
        labels = check_labels(y, images)
        self.confidence_ = calibrate_on(self, self._network(), images, labels)
        return self

    def save_weights(self, path, *, record=None):
        """Write the weights to a safetensors file, for ``weights=path``.

        Parameters
        ----------
        path : str or path-like
            The file; it is overwritten.
        record : dict, default=None
            Origin of the weights; values are converted to text.
        """
        check_is_fitted(self)
        record = self.record_ if record is None else record
        write_weights(
            path, Weights(self.weights_, self._n_filters, self.confidence_, record)
        )

    def _keep(self, weights, losses=(), validation_losses=None):
        self.weights_ = weights.arrays
        self.confidence_ = weights.confidence
        self.record_ = weights.record
        self.loss_curve_ = list(losses)
        self.validation_loss_curve_ = validation_losses
        self.n_iter_ = len(self.loss_curve_)
        self._n_filters = weights.n_filters
        return self

    def _network(self):
        network = from_arrays(self.weights_, self._n_filters)
        return on_device(network, choose_device(self.device))
