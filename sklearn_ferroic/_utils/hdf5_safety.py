"""Checks of HDF5 files that may be damaged or come from strangers.

A single flipped bit in the metadata of a file can crash the HDF5 library (1.14.6 and
older) before any checksum inside the file can be read. Files of sites therefore have a
checksum in the user block, a part at the start of the file that HDF5 leaves to
applications. It is compared before HDF5 parses anything.
"""

import hashlib

import numpy as np

# The smallest user block that HDF5 allows, bytes.
BLOCK_BYTES = 512
# Text before the checksum in the user block.
_TITLE = b"sklearn_ferroic.AtomSites sha256 "
# First bytes of an HDF5 file without a user block.
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Bytes hashed at a time.
_CHUNK_BYTES = 2**20


def refuse_outside_data(h5py, file, max_bytes=None):
    """Raise ValueError if a file refers to other files, or declares too much data.

    External links, external storage and virtual datasets make HDF5 read whatever file
    they name with the rights of the user.

    Parameters
    ----------
    h5py : module
        The library.
    file : h5py.File
        The open file.
    max_bytes : int, default=None
        Most bytes that a dataset may have once it is decompressed; None for any.
    """
    seen = set()
    groups = [file]
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            where = f"{group.name.rstrip('/')}/{name}"
            if isinstance(link, h5py.ExternalLink):
                raise ValueError(
                    f"{where} is a link to another file, {link.filename!r}, which is "
                    "not followed"
                )
            if not isinstance(link, h5py.HardLink):
                continue
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                _check_dataset(item, where, max_bytes)


def _check_dataset(item, where, max_bytes):
    """Raise ValueError if a dataset keeps its values elsewhere or is too large."""
    if item.is_virtual or item.external:
        raise ValueError(f"{where} keeps its values in another file, which is not read")
    size = item.size or 0
    if max_bytes is not None and size * item.dtype.itemsize > max_bytes:
        raise ValueError(
            f"{where} declares {size * item.dtype.itemsize:,} bytes, more than "
            f"max_bytes={max_bytes:,}"
        )


def content_digest(h5py, file):
    """Compute a digest of the contents of a file, without the attributes of its root.

    Parameters
    ----------
    h5py : module
        The library.
    file : h5py.File
        A file without links to others.

    Returns
    -------
    digest : str
        SHA-256 of names, types, shapes, values and attributes, hexadecimal.
    """
    content = hashlib.sha256()
    names = []
    file.visit(names.append)
    for name in sorted(names):
        item = file[name]
        _add(content, name)
        if isinstance(item, h5py.Dataset):
            _add_values(content, item[()])
        for key in sorted(item.attrs):
            _add(content, key)
            _add_values(content, item.attrs[key])
    return content.hexdigest()


def _add_values(content, values):
    """Add type, shape and values to a digest."""
    values = np.asarray(values)
    _add(content, f"{values.dtype} {values.shape}")
    if values.dtype.kind == "O":
        for text in values.ravel():
            _add(content, text if isinstance(text, str) else bytes(text))
    else:
        content.update(np.ascontiguousarray(values).tobytes())


def _add(content, text):
    """Add a text with its length, so that no two sequences of texts are the same."""
    data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    content.update(len(data).to_bytes(8, "little"))
    content.update(data)


def sealed(content):
    """Return the bytes of a file with the checksum in front.

    Parameters
    ----------
    content : bytes
        An HDF5 file that was made with a user block of `BLOCK_BYTES`, without or with
        that block.

    Returns
    -------
    content : bytes
        The block and the file.
    """
    if not content.startswith(_HDF5_SIGNATURE):
        content = content[BLOCK_BYTES:]
    return _block(hashlib.sha256(content)) + content


def check_seal(path):
    """Raise ValueError if the content of a file does not have the checksum in front.

    Files without a user block, of older versions, are not checked.

    Parameters
    ----------
    path : path-like
        The file.
    """
    with open(path, "rb") as file:
        block = file.read(BLOCK_BYTES)
        if block.startswith(_HDF5_SIGNATURE):
            return
        found = hashlib.sha256()
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
    if not block.startswith(_TITLE):
        raise ValueError("it does not begin like an HDF5 file")
    if block != _block(found):
        raise ValueError("the content is not what was written: the digests differ")


def _block(digest):
    """Return the block of a digest."""
    text = _TITLE + digest.hexdigest().encode() + b"\n"
    return text.ljust(BLOCK_BYTES, b"\0")
