"""The bytes of a file: one that safetensors reads, with JSON as its metadata and a digest over all.

Safetensors has no checksum: a fifth of damaged files load with other weights. The digest finds
damage; it is no signature, so nothing that is read here is believed because of it.
"""

import hashlib
import io
import json
import math
import re
from typing import Any, BinaryIO, NamedTuple

import numpy as np

FORMAT = 2
"""Number of the format, written into each file.

It goes up by one with the first change of a release after which an earlier release could not read
what is written, or would misread it: a parameter of the estimator, a field of the network's
description, a tensor or a key that is new, is gone or means something else. Then

- raise FORMAT, and set NEEDS to the coming release, which refusals by earlier ones will name;
- keep reading the earlier formats: after `read_header`, turn their metadata into those of today,
  with the value that a new parameter had in effect before there was a choice;
- hold them to the checks of today: whoever makes a file chooses its number, so an earlier format
  must never be a way round a check;
- add files of the new format to tests/golden/, and leave those of earlier formats there.

What never changes is what a refusal of a later format takes: a safetensors header with "skae"
alone in its "__metadata__", in which are "format" and "needs".
"""

NEEDS = "0.1.0"  # the first release that reads FORMAT

# Text of 256 kB has room for a thousand hidden layers, and none for objects of above 8 MB.
MAX_HEADER = 2**18
MAX_DEPTH = 5  # of objects and lists inside each other
MAX_TENSOR_DEPTH = 4  # axes
DTYPES: dict[str, np.dtype] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "U8": np.dtype("u1")}

_DIGEST = b'{\\"digest\\":\\"'  # where it stands in the header: inside a string, as first key
_NO_DIGEST = "0" * 64
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')


class LaterFormatError(ValueError):
    """A file that is not wrong, but of a release to come."""


class Tensor(NamedTuple):
    """What the header declares of a tensor."""

    dtype: np.dtype
    shape: tuple[int, ...]


class Header(NamedTuple):
    """What stands before the data."""

    metadata: dict
    tensors: dict[str, Tensor]  # in the order of their data, which is dense
    digest: str
    undigested: bytes  # the bytes so far, with zeros as the digits of the digest


def encode(metadata: dict, tensors: dict) -> list[memoryview]:
    """The bytes of a file, in pieces; bytes among the tensors are text in UTF-8."""
    # Only here: whoever only loads or fits has no use for it.
    from safetensors.numpy import save

    envelope = {"digest": _NO_DIGEST, "format": FORMAT, "needs": NEEDS}
    arrays = {
        # The library copies memory as it lies, whatever the strides.
        name: np.frombuffer(t, np.uint8) if isinstance(t, bytes) else np.ascontiguousarray(t)
        for name, t in tensors.items()
    }
    data = save(arrays, {"skae": canonical({**envelope, **metadata})})
    begin = data.index(_DIGEST) + len(_DIGEST)
    digest = hashlib.sha256(data).hexdigest().encode()
    view = memoryview(data)
    return [view[:begin], memoryview(digest), view[begin + len(digest) :]]


def read_header(file: BinaryIO, size: int) -> Header:
    """Read and check the header of a file of `size` bytes; leave the file where the data begin."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 0 < length <= MAX_HEADER or 8 + length > size:
        raise ValueError("it is no safetensors file, or one with a header that skae never writes.")
    text = file.read(length)
    header = parse(text)
    metadata = _metadata(header)
    if text.count(_DIGEST) != 1 or not re.fullmatch("[0-9a-f]{64}", str(metadata.get("digest"))):
        raise ValueError("its metadata have no digest in its place.")
    _check_format(metadata)
    tensors, end = _tensors(header)
    if 8 + length + end != size:
        raise ValueError(f"its header declares {8 + length + end} bytes, but it has {size}.")
    digest = metadata["digest"]
    undigested = start + text.replace(_DIGEST + digest.encode(), _DIGEST + _NO_DIGEST.encode())
    rest = {key: metadata[key] for key in metadata.keys() - {"digest", "format", "needs"}}
    if metadata["format"] == 1 and isinstance(rest.get("network"), dict):
        rest["network"] = {"output_unit": None, **rest["network"]}
    return Header(rest, tensors, digest, undigested)


def read_tensors(file: io.FileIO | io.BufferedReader | io.BytesIO, header: Header) -> dict:
    """Read the data into arrays that own them, and texts into bytearrays; check the digest."""
    digest = hashlib.sha256(header.undigested)
    tensors = {}
    for name, (dtype, shape) in header.tensors.items():
        text = bytearray(*shape) if dtype == DTYPES["U8"] else None
        tensor = np.empty(shape, dtype) if text is None else np.frombuffer(text, dtype)
        buffer = tensor.reshape(-1).view(np.uint8).data
        if file.readinto(buffer) != len(buffer):
            raise ValueError("it became shorter while it was read.")
        digest.update(buffer)
        # The machine's own byte order; nearly everywhere that is the file's, and no copy.
        native = tensor.astype(dtype.newbyteorder("="), copy=False)
        tensors[name] = native if text is None else text
    if digest.hexdigest() != header.digest:
        raise ValueError("it is damaged: its content does not have the digest that it names.")
    return tensors


def canonical(value: Any) -> str:
    """JSON in the one form that equal values have."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse(text: bytes) -> Any:
    """Parse JSON, strictly: ASCII, no key twice, no NaN, no integer of more than 64 bits."""
    if not text.isascii():
        raise ValueError("its header has bytes that are not ASCII.")
    decoded = text.decode()
    # Before the parser, which recurses.
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", decoded)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise ValueError(f"its header has JSON of depth {deepest}; {MAX_DEPTH} is the most.")
    return json.loads(
        decoded,
        object_pairs_hook=_object,
        parse_constant=_constant,
        parse_int=_integer,
    )


def _object(pairs):
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("its header has an object with a key twice.")
    return keys


def _constant(name):
    raise ValueError(f"its header has {name}, which is no JSON.")


def _integer(digits):
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError("its header has an integer of more than 64 bits.")
    return int(digits)


def _metadata(header):
    if not isinstance(header, dict):
        raise ValueError("its header is no object.")
    entries = header.pop("__metadata__", None)
    if not (isinstance(entries, dict) and isinstance(entries.get("skae"), str)):
        raise ValueError("it is a safetensors file, but not of skae.")
    if len(entries) > 1:
        raise ValueError("it has metadata that are not of skae.")
    text = entries["skae"]
    metadata = parse(text.encode("utf-8", "replace"))
    if not isinstance(metadata, dict) or canonical(metadata) != text:
        raise ValueError("its metadata are not canonical JSON.")
    return metadata


def _check_format(metadata):
    number, needs = metadata.get("format"), str(metadata.get("needs"))
    if type(number) is not int or number < 1 or not re.fullmatch(r"\d[\w.+-]{0,31}", needs):
        raise ValueError("its metadata have no number of a format.")
    if number > FORMAT:
        raise LaterFormatError(
            f"it has format {number}, and this release of skae reads formats up to {FORMAT}. "
            f"Install skae {needs} or later."
        )


def _tensors(header):
    """What is declared, in the order of the data, and where they end."""
    spans = []
    for name, entry in header.items():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError("its header declares what is no tensor.")
        dtype, shape, offsets = (entry[key] for key in ("dtype", "shape", "data_offsets"))
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise ValueError("its header declares a tensor of a type that skae never writes.")
        if not (_integers(shape, 1) and 0 < len(shape) <= MAX_TENSOR_DEPTH):
            raise ValueError("its header declares a tensor of no shape.")
        if not (_integers(offsets, 0) and len(offsets) == 2):
            raise ValueError("its header declares a tensor without its place.")
        spans.append((*offsets, name, Tensor(DTYPES[dtype], tuple(shape))))
    position, tensors = 0, {}
    for begin, end, name, tensor in sorted(spans):
        if begin != position or end - begin != math.prod(tensor.shape) * tensor.dtype.itemsize:
            raise ValueError("its header declares tensors that do not lie side by side.")
        position, tensors[name] = end, tensor
    return tensors, position


def _integers(value, least):
    return isinstance(value, list) and all(type(n) is int and n >= least for n in value)
