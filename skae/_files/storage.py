"""Read files without trusting them, and write files completely or not at all."""

import contextlib
import errno
import io
import os
import stat
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO

from skae._files.format import MAX_HEADER, LaterFormatError, encode, read_header, read_tensors
from skae._files.state import FileVersionWarning, State, check, describe, restore
from skae._version import __version__


class ModelFileError(ValueError):
    """Error that :func:`load` raises for a file that it can't make an estimator of.

    See Also
    --------
    load : Load an estimator from a file.
    """


def read(path: Any) -> State:
    """Read the state of an estimator; warn if another version of skae wrote it."""
    path = os.fspath(path)
    try:
        with _open(path) as file:
            header = read_header(file, os.fstat(file.fileno()).st_size)
            state, spec = check(header)
            tensors = read_tensors(file, header)
        state = restore(state, spec, tensors)
    except ValueError as error:
        way_out = (
            ""
            if isinstance(error, LaterFormatError)
            else " Use an intact copy of the file, or save the estimator again."
        )
        message = f"{path!r} can't be loaded: {str(error)[:1000]}{way_out}"
        raise ModelFileError(message) from error
    version = header.metadata["versions"]["skae"]
    if version != __version__:
        warnings.warn(FileVersionWarning(version), stacklevel=3)
    return state


def write(state: State, path: Any) -> None:
    """Write the state of a fitted estimator into a file."""
    path = os.fspath(path)
    metadata, tensors = describe(state)
    try:
        pieces = encode(metadata, tensors)
        # Check that the file could be loaded before writing it.
        start = io.BytesIO(b"".join([*pieces[:2], pieces[2][:MAX_HEADER]]))
        restore(*check(read_header(start, sum(map(len, pieces)))), tensors)
    except ValueError as error:
        raise ValueError(f"This estimator can't be saved: {error}") from error
    with replacing(path) as file:
        for piece in pieces:
            file.write(piece)


def _open(path):
    """Open a regular file; refuse other kinds without waiting, since a pipe would block."""
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY"):  # some platforms lack some of these
        flags |= getattr(os, name, 0)
    try:
        file = open(path, "rb", opener=lambda path, _: os.open(path, flags))  # noqa: SIM115 (returned)
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV):
            raise
        raise ValueError(f"it is not a regular file: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError("it is not a regular file.")
    return file


@contextlib.contextmanager
def replacing(path: Any) -> Iterator[BinaryIO]:
    """Yield a file to write, which replaces another once it is complete and on the disk."""
    path = os.fsdecode(os.path.realpath(path))  # a link stays a link
    mode = _mode(path)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):  # otherwise the error would name the temporary file
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    temporary = os.path.join(folder, f".skae-{os.urandom(8).hex()}.tmp")
    try:
        # Not with tempfile, whose files only the owner can use: these get what the umask allows.
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _mode(path):
    """Return the permissions of the file to replace, or None if there is no file.

    Refuse to replace what is not a writable regular file, even if the folder allows it.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise ValueError(
            f"Only regular files can be written, and {path!r} is not one. Give another path."
        )
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return stat.S_IMODE(mode)


def _sync_folder(folder):
    """Make the new name survive a crash, where the file system can sync a folder."""
    # A failure is not an error: the file is in its place, and some file systems can't sync.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
