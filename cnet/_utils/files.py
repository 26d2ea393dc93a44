"""Files that are written whole: after an error or a crash at any moment there is the old content or
the new one.

The new content goes into a temporary file in the same folder, which then takes the name of the old
one, with its mode and its owner. What cannot be replaced so is written in place: a file with
several names (hard links), a device, a pipe.
"""

import errno
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

try:
    import fcntl
except ImportError:  # Windows, which removes no file that is open: no lock is needed
    fcntl = None  # type: ignore[assignment]

_MAX_NAME = 100
"""Bytes of a target's name that go into the name of its temporary file: file systems allow 143 to
255 in all.
"""
_RANDOM = 6
"""Bytes, in the name of a temporary file."""
_DAY = 86_400.0
_PATIENCE = 1.0
"""Seconds to wait for a program that is about to read from a pipe."""
_NO_FILES: list[tuple[Callable[[int], bool], int, str]] = [
    (stat.S_ISDIR, errno.EISDIR, "it is a folder, expected a file"),
    (stat.S_ISBLK, errno.EINVAL, "it is a block device, expected a file"),
    (stat.S_ISSOCK, errno.EINVAL, "it is a socket, expected a file"),
]


def full_path(path: str | bytes | os.PathLike[str]) -> str:
    """A path as text, with ``~`` replaced by the home folder."""
    return os.path.expanduser(os.fsdecode(path))


def check_target(path: str | bytes | os.PathLike[str]) -> str:
    """The full path, once it is clear that a file can be written there: to be called before any
    work is done.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    str

    Raises
    ------
    OSError
        If its folder does not exist or is not writable, or there is a folder, a read-only file, a
        block device or a socket.
    """
    path = full_path(path)
    if not os.path.basename(path):
        raise OSError(errno.EISDIR if path else errno.ENOENT, "it names no file", path)
    status = _status(path)
    if status is None:
        folder = os.path.dirname(os.path.realpath(path))
        if _status(folder) is None:
            raise OSError(errno.ENOENT, f"there is no folder {folder!r}: create it first", path)
    else:
        for is_kind, number, message in _NO_FILES:
            if is_kind(status.st_mode):
                raise OSError(number, message, path)
        if not stat.S_IMODE(status.st_mode) & 0o222 or not os.access(path, os.W_OK):
            raise OSError(
                errno.EACCES,
                "the file is read-only: make it writable, or choose another name",
                path,
            )
        if not _is_replaced(status):
            return path
        folder = os.path.dirname(os.path.realpath(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, f"the folder {folder!r} is not writable", path)
    return path


def write_atomically(path: str | bytes | os.PathLike[str], content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one, never a part.

    A file that is there keeps its mode, its access list and, where that is permitted, its owner and
    group. A link stays a link, and the file that it points to is replaced. A file with several
    names (hard links) is overwritten in place, so that it keeps them: if that fails, the old
    content is put back, but a crash of the whole process may leave a part. What is written to a
    device or a pipe goes there.

    Temporary files that killed processes left for the same target are removed.

    Parameters
    ----------
    path : path-like
        ``~`` is expanded.
    content : bytes

    Raises
    ------
    OSError
        As from `check_target`, or if writing fails. It names `path`.
    """
    path = full_path(path)
    try:
        check_target(path)
        status = _status(path)
        if status is None or _is_replaced(status):
            _replace(os.path.realpath(path), content, status)
        elif stat.S_ISREG(status.st_mode):
            _overwrite(path, content)
        else:
            _write_through(path, content, stat.S_ISFIFO(status.st_mode))
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(
            error.errno, error.strerror, path
        ) from None  # not the name of a temporary file


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _is_replaced(status: os.stat_result) -> bool:
    """Whether another file may take the name: nobody else holds on to this one."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1


def _write_all(fd: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _replace(target: str, content: bytes, status: os.stat_result | None) -> None:
    folder, name = os.path.split(target)
    prefix = _prefix(name)
    _remove_left_over(folder, prefix)
    while not _replace_by(
        os.path.join(folder, prefix + os.urandom(_RANDOM).hex()), target, content, status
    ):
        pass
    if os.name == "posix":
        with suppress(
            OSError
            # some file systems cannot, and some folders may not be read: the file is in place all
            # the same
        ):
            entries = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(entries)
            finally:
                os.close(entries)


def _replace_by(temporary: str, target: str, content: bytes, status: os.stat_result | None) -> bool:
    """Write a temporary file and give it the target's name; False if another process took it for
    one that was left over.
    """
    try:
        with open(
            temporary,
            "xb",
            buffering=0,
            opener=partial(os.open, mode=0o666 if status is None else 0o600),
        ) as file:
            fd = file.fileno()
            if not _claim(fd, temporary):
                with suppress(OSError):
                    os.unlink(temporary)
                return False
            _write_all(fd, content)
            if status is not None:
                _take_over(fd, target, status)
            os.fsync(fd)
            if fcntl is not None:
                os.replace(temporary, target)
        if fcntl is None:  # Windows renames no file that is open
            os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    return True


def _claim(fd: int, temporary: str) -> bool:
    """Lock a new temporary file, so that other processes see that it is in use; the lock ends with
    the process.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return _status(temporary) is not None


def _prefix(name: str) -> str:
    """Return the beginning of the names of a target's temporary files."""
    encoded = os.fsencode(name)
    if len(encoded) > _MAX_NAME:
        name = encoded[:_MAX_NAME].decode(errors="ignore")
    return f".{name}.cnet-"


def _remove_left_over(folder: str, prefix: str) -> None:
    """Remove temporary files whose processes were killed."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            random = entry.name.removeprefix(prefix)
            if (
                random != entry.name
                and len(random) == 2 * _RANDOM
                and not random.strip("0123456789abcdef")
            ):
                with suppress(OSError):
                    _remove_unless_in_use(entry.path)


def _remove_unless_in_use(temporary: str) -> None:
    if fcntl is None:
        os.unlink(temporary)
        return
    fd = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:  # a file system without locks: only the age tells
            if time.time() - os.fstat(fd).st_mtime < _DAY:
                return
        os.unlink(temporary)
    finally:
        os.close(fd)


def _take_over(fd: int, target: str, status: os.stat_result) -> None:
    """Give a new file the owner, the access list and the mode of the one that it replaces, as far
    as that is permitted.
    """
    if not hasattr(os, "fchown"):
        return
    for owner, group in ((status.st_uid, -1), (-1, status.st_gid)):
        with suppress(OSError):
            os.fchown(fd, owner, group)
    if hasattr(os, "listxattr"):
        with suppress(OSError):
            for name in os.listxattr(target):
                with suppress(OSError):
                    os.setxattr(fd, name, os.getxattr(target, name))
    mode, new = stat.S_IMODE(status.st_mode), os.fstat(fd)
    if new.st_gid != status.st_gid:
        mode &= (
            0o707 | (mode & 0o007) << 3
        )  # what one group may do, another one need not be allowed
    if (new.st_uid, new.st_gid) != (status.st_uid, status.st_gid):
        mode &= 0o777
    os.fchmod(fd, mode)


def _overwrite(path: str, content: bytes) -> None:
    with open(path, "r+b", buffering=0) as file:
        old = file.readall()
        try:
            _fill(file.fileno(), content)
        except BaseException:
            _fill(file.fileno(), old)
            raise


def _fill(fd: int, content: bytes) -> None:
    os.lseek(fd, 0, os.SEEK_SET)
    _write_all(fd, content)
    os.ftruncate(fd, len(content))
    os.fsync(fd)


def _write_through(path: str, content: bytes, is_pipe: bool) -> None:
    fd = _open_pipe(path) if is_pipe else os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
    try:
        _write_all(fd, content)
    finally:
        os.close(fd)


def _open_pipe(path: str) -> int:
    """The end of a pipe to write to; an error, instead of waiting for ever, if nobody reads from
    the other one.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > end:
                raise OSError(errno.ENXIO, "no program reads from this pipe", path) from None
            time.sleep(0.01)
        else:
            os.set_blocking(fd, True)
            return fd
