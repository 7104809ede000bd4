"""Methods of AtomSites that convert from and to tables and files."""

from .._fields import SITE_FIELDS, describe_columns
from .exchange import from_atomap, read_csv
from .hdf5 import read_hdf5, write_hdf5
from .table import to_frame, write_csv


class FormatMethods:
    """Base class of AtomSites: one method for each direction of each format."""

    def to_frame(self):
        """Return the sites as a pandas table, one row per atomic column.

        Returns
        -------
        table : pandas.DataFrame
            {columns}

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return to_frame(self)

    def to_csv(self, path, *, features=None, labels=None, parameters=None):
        """Write the table of :meth:`to_frame` as comma separated text.

        Three lines that begin with ``#`` come first; ``pandas.read_csv(path,
        comment="#")`` reads the table, :meth:`from_csv` the sites. Units, pixel sizes,
        image shapes and parameters go to a JSON file of the same name with ``.json``
        appended. The images are not included; :meth:`to_hdf5` stores everything.

        Parameters
        ----------
        path : str or path-like
            The file; it is overwritten once all is written.
        features : array-like of shape (n_sites, n_features) or mapping, default=None
            Further columns, with their names in a DataFrame or mapping, otherwise
            ``feature0``, ``feature1``, ...
        labels : array-like of shape (n_sites,), default=None
            A last column, ``label``.
        parameters : estimator, mapping or None, default=None
            Origin of the sites, such as a fitted :class:`AtomLocator` or pipeline.

        Raises
        ------
        TypeError, ValueError
            If features, labels or parameters cannot be written.
        ImportError
            If pandas is not installed.

        Notes
        -----
        Text that a spreadsheet would run as a formula, as it begins with ``=``, ``+``,
        ``-`` or ``@``, gets an apostrophe before it, unless it is a number.

        pandas takes labels such as ``"NA"`` and ``""`` for missing. To keep them::

            names = pandas.read_csv(path, comment="#", nrows=0).columns
            missing = {name: "" for name in names.drop(["flags", "label"])}
            pandas.read_csv(path, comment="#", keep_default_na=False, na_values=missing)
        """
        write_csv(self, path, features=features, labels=labels, parameters=parameters)

    @classmethod
    def from_csv(
        cls, path, *, images=None, columns=None, pixel_size=None, return_table=False
    ):
        """Read sites from a text table, that of :meth:`to_csv` or another one.

        Parameters
        ----------
        path : str or path-like
            The file, with a line of names; lines that begin with ``#`` are comments.
        images : ndarray or list of ndarray, default=None
            The images; black ones of the right size by default, which show nothing.
        columns : dict of str to str, default=None
            Names of the columns in the file, by the names that :meth:`to_frame` gives
            them, such as ``{"row": "y", "col": "x"}``. Those of the same name are
            found, and at least `row` and `col`, px, are needed.
        pixel_size : float, list of (float or None) or None, default=None
            Pixel size in nm; that of the file by default.
        return_table : bool, default=False
            Whether to return the table, with further columns, too.

        Returns
        -------
        sites : AtomSites
            The sites, with all fields for which the table has columns; others, and
            empty cells, have the missing value.
            ``feature_extraction.measure_lattice`` computes displacements and lattice
            vectors.
        table : pandas.DataFrame
            The table; only with `return_table`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is not a table, or lacks columns.
        ImportError
            If pandas is not installed.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from sklearn_ferroic import AtomSites
        >>> sites = AtomSites(np.zeros((32, 32)), [[8, 8], [8, 24.5]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sites.to_csv(f"{folder}/sites.csv")
        ...     again = AtomSites.from_csv(f"{folder}/sites.csv")
        >>> again.positions.tolist()
        [[8.0, 8.0], [8.0, 24.5]]
        """
        options = {"images": images, "columns": columns, "pixel_size": pixel_size}
        arguments, table = read_csv(path, cls.fields, **options)
        sites = cls(**arguments)
        return (sites, table) if return_table else sites

    @classmethod
    def from_atomap(cls, lattice):
        """Make AtomSites of columns that atomap has found.

        Parameters
        ----------
        lattice : atomap Atom_Lattice, Sublattice or list of Sublattice
            The columns; the first sublattice becomes 0.

        Returns
        -------
        sites : AtomSites
            With positions, sublattices and fitted shapes. Displacements and lattice
            vectors are NaN; ``feature_extraction.measure_lattice`` computes them.

        Raises
        ------
        TypeError
            If it is none of these.
        """
        return cls(**from_atomap(lattice))

    def to_hdf5(
        self, path, *, images=True, features=None, labels=None, parameters=None
    ):
        """Write the sites with their images to an HDF5 file, for :meth:`from_hdf5`.

        Parameters
        ----------
        path : str or path-like
            The file; an existing one is replaced once writing has succeeded.
        images : bool, default=True
            Whether to store the images. Without them, reading the file needs them.
        features, labels, parameters : object, default=None
            As in :meth:`to_csv`; :meth:`from_hdf5` returns them as ``extras``.

        Raises
        ------
        TypeError, ValueError
            If features, labels or parameters cannot be written.
        ImportError
            If h5py is not installed.
        """
        more = {"features": features, "labels": labels, "parameters": parameters}
        write_hdf5(self, path, images=images, **more)

    @classmethod
    def from_hdf5(cls, path, *, images=None, return_extras=False):
        """Read a file that :meth:`to_hdf5` has written.

        Parameters
        ----------
        path : str or path-like
            The file.
        images : ndarray or list of ndarray, default=None
            The images of the sites, if the file was written without.
        return_extras : bool, default=False
            Whether to return the features, labels and parameters as well.

        Returns
        -------
        sites : AtomSites
            Equal to those written.
        extras : Bunch
            ``features``, a dict of columns, ``labels`` or None, ``parameters`` and
            ``package_version``; only with `return_extras`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged or contains no AtomSites, or `images` do not match.
        ImportError
            If h5py is not installed.
        """
        arguments, extras = read_hdf5(path, images, cls.fields)
        sites = cls(**arguments)
        return (sites, extras) if return_extras else sites


FormatMethods.to_frame.__doc__ = describe_columns(
    FormatMethods.to_frame.__doc__, SITE_FIELDS
)
