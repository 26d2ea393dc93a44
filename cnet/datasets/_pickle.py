"""The ``mnist.pkl.gz`` file, a Python 2 pickle, read by an interpreter restricted to arrays.

The standard unpickler, even with restricted imports, calls NumPy with the file's arguments and
allocates memory for sizes that the file only claims. This module never imports or calls a name from
the file. It executes the few operations that such a file consists of on plain values, and maps the
few names that the file uses to functions of this module.
"""

from __future__ import annotations

import pickletools
from enum import Enum, auto
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from ._images import (
    MAX_IMAGES,
    Arrays,
    check_images_header,
    check_labels,
    check_labels_header,
    from_bytes,
    to_images,
    to_labels,
)
from ._reader import DataFileError, Reader, open_reader

_MAX_BYTES = 256 << 20
_MAX_OPERATIONS = 1000
_MAX_NAME = 256
_MAX_DIMENSIONS = 3

_PUSH_ARGUMENT = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG1"),
    *("BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_PUSH_VALUE = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_EXPECTED = (
    "expected a tuple of two or three (x, y) tuples of arrays: training, optionally validation, "
    "and test"
)
_AGAIN = "save it again with pickle.dump(content, file, protocol=5)"
_REJECTED = {
    **dict.fromkeys(("EMPTY_DICT", "DICT"), f"so it contains a dict, {_EXPECTED}"),
    **dict.fromkeys(("EMPTY_LIST", "LIST"), f"so it contains a list, {_EXPECTED}"),
    **dict.fromkeys(
        ("STRING", "UNICODE"), f"so it is a pickle of protocol 0, a text format: {_AGAIN}"
    ),
    **dict.fromkeys(
        ("NEXT_BUFFER", "READONLY_BUFFER"), f"so its arrays are in external buffers: {_AGAIN}"
    ),
}


class _Name(Enum):
    """Meaning of a name in the file. No value from the file can be mistaken for a member."""

    RECONSTRUCT = auto()
    NDARRAY = auto()
    DTYPE = auto()
    ENCODE = auto()
    FROM_BUFFER = auto()


_NAMES = {
    "numpy.core.multiarray _reconstruct": _Name.RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": _Name.RECONSTRUCT,
    "numpy ndarray": _Name.NDARRAY,
    "numpy dtype": _Name.DTYPE,
    "_codecs encode": _Name.ENCODE,
    # Protocol 5, as NumPy 1 and 2 write it.
    "numpy.core.numeric _frombuffer": _Name.FROM_BUFFER,
    "numpy._core.numeric _frombuffer": _Name.FROM_BUFFER,
}


def load_pickle(path: Path) -> Arrays:
    """Read MNIST from a pickle of two or three ``(x, y)`` tuples.

    The tuples are training, optionally validation, and test data.

    Parameters
    ----------
    path : Path
        The file. gzip compression is recognized by the content.

    Returns
    -------
    Arrays
        The validation data are appended to the training data, as in the IDX files.

    Raises
    ------
    DataFileError
        If the pickle contains anything but arrays, is larger than 256 MiB, or contains arrays of an
        unexpected number, shape, dtype or range of values.
    """
    with open_reader(path) as reader:
        name = reader.name
        if reader.kind is not None:
            raise DataFileError(
                name, f"is not a pickle of MNIST's arrays: it looks like {reader.kind}"
            )
        content = _interpret(reader)
        reader.end()
    parts = _pairs(content, name)
    for images, labels in parts:
        check_images_header(images.shape, images.dtype, name)
        check_labels_header(labels.shape, labels.dtype, name)
        check_labels(images, labels, name, name)
    x = to_images([images for images, _ in parts], [name] * len(parts))
    y = [to_labels(labels, name) for _, labels in parts]
    return Arrays(np.concatenate(x[:-1]), np.concatenate(y[:-1]), x[-1], y[-1])


class _Dtype:
    """Placeholder for a ``numpy.dtype`` that the file builds."""

    def __init__(self, arguments: object) -> None:
        match arguments:
            case (str(code), _, _) if code in {
                "b1",
                "u1",
                "i1",
                "u2",
                "i2",
                "u4",
                "i4",
                "u8",
                "i8",
                "f2",
                "f4",
                "f8",
            }:
                self.dtype = np.dtype(code)
            case _:
                raise ValueError("expected a dtype of plain integers or floating-point numbers")

    def build(self, state: object) -> None:
        match state:
            case (3 | 4, ("<" | ">" | "=" | "|") as order, None, None, None, *_):
                self.dtype = self.dtype.newbyteorder(order)
            case _:
                raise ValueError("expected a plain dtype with a byte order")


class _Array:
    """Placeholder for a ``numpy.ndarray`` that the file builds."""

    def __init__(self, machine: _Machine) -> None:
        self.array: NDArray[Any] | None = None
        self._machine = machine

    def build(self, state: object) -> None:
        match state:
            case (
                1,
                tuple(shape),
                _Dtype(dtype=dtype),
                bool(fortran),
                str() | bytes() | bytearray() as data,
            ):
                self.fill(data, dtype, shape, fortran)
            case _:
                raise ValueError("expected an array's version, shape, dtype, order and bytes")

    def fill(
        self,
        data: str | bytes | bytearray,
        dtype: np.dtype[Any],
        shape: tuple[Any, ...],
        fortran: bool,
    ) -> NDArray[Any]:
        """Set the array's content from bytes."""
        if len(shape) > _MAX_DIMENSIONS or not all(
            isinstance(n, int) and 0 <= n <= MAX_IMAGES for n in shape
        ):
            raise ValueError(
                f"expected a shape of at most {_MAX_DIMENSIONS} numbers up to {MAX_IMAGES}"
            )
        self.array = from_bytes(
            self._machine.to_bytes(data), dtype, shape, fortran, self._machine.name
        )
        return self.array


class _Stream:
    """Bounded input of `pickletools.genops`, which requests as many bytes as the file claims."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._left = _MAX_BYTES

    def read(self, size: int) -> bytearray:
        self._left -= size
        if self._left < 0:
            raise DataFileError(
                self._reader.name, f"holds more than {_MAX_BYTES} bytes, the limit for a pickle"
            )
        return self._reader.exactly(size, "a pickled value")

    def readline(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            if len(line) == _MAX_NAME:
                raise DataFileError(
                    self._reader.name, f"holds a name of more than {_MAX_NAME} bytes"
                )
            line += self.read(1)
        # pickletools would decode it as an escape sequence, with a warning if it is invalid.
        if b"\\" in line:
            raise DataFileError(self._reader.name, "holds a name with a backslash")
        return line


def _interpret(reader: Reader) -> object:
    """Execute the pickle's operations and return the resulting value."""
    machine = _Machine(reader.name)
    stream = cast("IO[bytes]", _Stream(reader))
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
            if count == _MAX_OPERATIONS:
                raise ValueError(f"expected at most {_MAX_OPERATIONS} operations")
            machine.step(operation.name, argument)
        return machine.pop()
    except DataFileError:
        raise
    except (ValueError, LookupError, AssertionError, OverflowError) as error:
        raise DataFileError(reader.name, f"is not a pickle of MNIST's arrays: {error}") from error


class _Machine:
    """State of the interpreter: the stack and memo of a pickle."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._encoded = 0
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def pop(self) -> object:
        if not self._stack:
            raise ValueError("it pops a value from an empty stack")
        return self._stack.pop()

    def _pop_tuple(self, size: int) -> tuple[object, ...]:
        values = [self.pop() for _ in range(size)]
        return tuple(reversed(values))

    def step(self, operation: str, argument: Any) -> None:
        push = self._stack.append
        match operation:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case _ if operation in _PUSH_ARGUMENT:
                push(argument)
            case _ if operation in _PUSH_VALUE:
                push(_PUSH_VALUE[operation])
            case _ if operation in _TUPLES:
                push(self._pop_tuple(_TUPLES[operation]))
            case "MARK":
                self._marks.append(len(self._stack))
            case "TUPLE":
                push(self._pop_tuple(len(self._stack) - self._marks.pop()))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                push(self._memo[argument])
            case "GLOBAL":
                push(_named(argument))
            case "STACK_GLOBAL":
                push(_named(_joined(self._pop_tuple(2))))
            case "REDUCE":
                called, arguments = self._pop_tuple(2)
                push(self._call(called, arguments))
            case "BUILD":
                built, state = self._pop_tuple(2)
                self._build(built, state)
                push(built)
            case _:
                reason = _REJECTED.get(operation, "which a file of MNIST's arrays does not need")
                raise ValueError(f"it uses the operation {operation}, {reason}")

    def _build(self, built: object, state: object) -> None:
        if isinstance(built, _Array | _Dtype):
            built.build(state)
        else:
            raise ValueError(f"it sets the state of a {type(built).__name__}")

    def _call(self, called: object, arguments: object) -> object:
        """Carry out a call in the file, if it is one that builds an array."""
        match called, arguments:
            case _Name.RECONSTRUCT, (_Name.NDARRAY, (0,), _):
                return _Array(self)
            case _Name.RECONSTRUCT, _:
                raise ValueError("expected an empty ndarray to fill")
            case _Name.FROM_BUFFER, (
                bytes() | bytearray() as data,
                _Dtype(dtype=dtype),
                tuple(shape),
                "C" | "F" as order,
            ):
                array = _Array(self)
                array.fill(data, dtype, shape, fortran=order == "F")
                return array
            case _Name.FROM_BUFFER, (
                bytes() | bytearray() as data,
                _Dtype(dtype=dtype),
                tuple(shape),
                "K",
                tuple(axes),
            ):
                array = _Array(self)
                filled = array.fill(data, dtype, shape, fortran=False)
                if not all(isinstance(axis, int) for axis in axes) or sorted(axes) != list(
                    range(filled.ndim)
                ):
                    raise ValueError("expected a permutation of the array's axes")
                array.array = filled.transpose(axes)
                return array
            case _Name.FROM_BUFFER, _:
                raise ValueError("expected an array's bytes, dtype, shape and order")
            case _Name.DTYPE, _:
                return _Dtype(arguments)
            case _Name.ENCODE, (str(text), "latin1"):
                return self.to_bytes(text)
        raise ValueError("it makes a call that does not build an array")

    def to_bytes(self, data: str | bytes | bytearray) -> bytes | bytearray:
        """Return data as bytes. Python 2 wrote bytes as a string with one character for each."""
        if not isinstance(data, str):
            return data
        # A string in the memo can be used, and therefore copied, any number of times.
        self._encoded += len(data)
        if self._encoded > _MAX_BYTES:
            raise ValueError(f"its strings take more than {_MAX_BYTES} bytes in total")
        return data.encode("latin-1")


def _joined(parts: tuple[object, ...]) -> str:
    """Join a module and an attribute to a name, in the format of `GLOBAL`."""
    match parts:
        case (str(module), str(attribute)) if len(module) + len(attribute) < _MAX_NAME:
            return f"{module} {attribute}"
    raise ValueError("it refers to a global by something that is not a name")


def _named(name: str) -> _Name:
    """Return the meaning of a name from the file."""
    if name not in _NAMES:
        raise ValueError(
            f"it refers to {name.replace(' ', '.')!r}, but only NumPy arrays are read from a pickle"
        )
    return _NAMES[name]


def _pairs(content: object, name: str) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return the (x, y) tuples of the unpickled value."""
    pairs = []
    for part in content if isinstance(content, tuple) else ():
        match part:
            case (_Array(array=np.ndarray() as x), _Array(array=np.ndarray() as y)):
                pairs.append((x, y))
    if not isinstance(content, tuple) or len(pairs) != len(content) or len(pairs) not in (2, 3):
        raise DataFileError(
            name, "expected two or three (x, y) tuples of arrays: training, validation, test"
        )
    return pairs
