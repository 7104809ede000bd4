"""Writing files whole or not at all, and locking what one process writes."""

import os
import secrets
import socket
import time
import zlib
from contextlib import contextmanager
from pathlib import Path

# Bytes of the file's own name in the name of its partial file, which with the rest
# stays below the 255 bytes that file systems allow.
_NAME_BYTES = 60
# Where it cannot be found out whether a process is alive, partial files of this age are
# taken for abandoned.
_ABANDONED_S = 24 * 3600


def resolve_path(path):
    """Return a path with ``~`` expanded."""
    return Path(path).expanduser()


def write_whole(path, write):
    """Write a file that is whole at any time: the old one, then the new one.

    The bytes go to a partial file in the same folder, which takes the place of the
    old file once it is on the disk. Its name is unique, so that several processes and
    threads may write at once; the last one prevails. Partial files that killed
    processes have left for the same path are removed.

    Parameters
    ----------
    path : path-like
        The file.
    write : callable
        Called with the partial file, open for writing bytes.
    """
    path = resolve_path(path)
    prefix = _prefix(path)
    _remove_abandoned(path.parent, prefix)
    owner = f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    partial = path.with_name(f"{prefix}{owner}.part")
    try:
        with open(partial, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def locked(path, what):
    """Keep other processes and threads from writing a file while this context lasts.

    The lock ends with the process, however that ends. Where the file system offers no
    locks, there is none.

    Parameters
    ----------
    path : path-like
        The file.
    what : str
        What writes it, for the message.

    Raises
    ------
    ValueError
        If another one has locked it.
    """
    path = resolve_path(path)
    place = path.with_name(f"{_prefix(path)}lock")
    file = _take_lock(place)
    if file is None:
        raise ValueError(
            f"{os.fspath(path)} is being written by another {what}. Choose another "
            "path, or wait until it ends."
        )
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
        file.close()


def _take_lock(place):
    """Return the open, locked file, or None if another one has locked it."""
    while True:
        file = open(place, "ab")
        if not _lock(file):
            file.close()
            return None
        # The owner before may have removed the file after it was opened here.
        try:
            if os.path.samestat(os.fstat(file.fileno()), os.stat(place)):
                return file
        except FileNotFoundError:
            pass
        file.close()


def _lock(file):
    """Return False if another one has locked an open file."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _prefix(path):
    """Return how the names of the partial files of a path begin."""
    name = path.name.encode(errors="surrogateescape")
    short = name[:_NAME_BYTES].decode(errors="ignore")
    return f".{short}.{zlib.crc32(name):08x}."


def _host():
    """Return the name of this machine, with characters for a file name only."""
    name = socket.gethostname()[:_NAME_BYTES]
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _remove_abandoned(folder, prefix):
    """Remove the partial files of one path whose processes have ended."""
    try:
        names = [name for name in os.listdir(folder) if name.startswith(prefix)]
    except OSError:
        return
    for name in names:
        if name.endswith(".part") and _is_abandoned(folder / name, prefix):
            (folder / name).unlink(missing_ok=True)


def _is_abandoned(partial, prefix):
    """Return whether the process that wrote a partial file has ended."""
    host, _, rest = partial.name.removeprefix(prefix).partition("-")
    number = rest.partition("-")[0]
    try:
        age = time.time() - partial.stat().st_mtime
    except FileNotFoundError:
        return False
    if os.name != "posix" or host != _host() or not number.isdigit():
        return age > _ABANDONED_S
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
