"""Checksum in front of an HDF5 file, compared before HDF5 parses anything.

A single flipped bit in the metadata of a file can crash the HDF5 library (1.14.6 and
older) before any checksum inside the file can be read. The user block, a part of the
file that HDF5 leaves to applications, therefore holds a checksum of all that follows.
"""

import hashlib

# The smallest user block that HDF5 allows, bytes.
BLOCK_BYTES = 512
_TITLE = b"sklearn_ferroic.AtomSites sha256 "
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Bytes hashed at a time.
_CHUNK_BYTES = 2**20


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
