"""The bytes of a file: safetensors, with JSON as its metadata and a digest of the whole.

The safetensors format has no checksum: a fifth of damaged files load with other weights. The digest
detects damage. It is not a signature, so nothing read here is trusted because of it.
"""

import hashlib
import io
import json
import math
import re
from typing import Any, BinaryIO, NamedTuple

import numpy as np

FORMAT = 7
"""The number of the format, written into each file.

Raise it by one with the first change in a release after which an earlier release could not read
the new files, or would misread them. That is the case if a parameter of the estimator, a field of
the network's description, a tensor or a key is added, is removed or changes its meaning. To change
the format:

- Raise FORMAT, and set NEEDS to the coming release. Earlier releases name it in their error when
  they refuse a file of the new format.
- Keep reading the earlier formats. At the end of `read_header`, convert their metadata to today's.
  Give a new parameter the value that was in effect before it could be chosen.
- Apply today's checks to them. Whoever makes a file chooses its format number, so an earlier format
  must never be a way around a check.
- Add files of the new format to tests/golden/, and keep the files of earlier formats there.

One thing must never change, since a release needs it to refuse a later format: the "__metadata__"
of the safetensors header has the single key "skae", whose JSON has the keys "format" and "needs".
"""

NEEDS = "0.1.0"  # the first release that reads FORMAT

# A header of 256 kB can describe a thousand hidden layers, but not above 8 MB of Python objects.
MAX_HEADER = 2**18
MAX_DEPTH = 5  # of nested objects and lists
MAX_TENSOR_DEPTH = 4  # axes
DTYPES: dict[str, np.dtype] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "U8": np.dtype("u1")}

_DIGEST = b'{\\"digest\\":\\"'  # in the header: the first key of the JSON, escaped in a string
_NO_DIGEST = "0" * 64
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')


class LaterFormatError(ValueError):
    """Raised for a file that is valid, but written by a later release."""


class Tensor(NamedTuple):
    """The dtype and shape that the header declares for a tensor."""

    dtype: np.dtype
    shape: tuple[int, ...]


class Header(NamedTuple):
    """The header of a file, which precedes the data."""

    metadata: dict
    tensors: dict[str, Tensor]  # in the order of their data, which have no gaps
    digest: str
    undigested: bytes  # the bytes up to the data, with zeros in place of the digest


def encode(metadata: dict, tensors: dict) -> list[memoryview]:
    """Return the bytes of a file, in pieces; a tensor given as bytes is text in UTF-8."""
    # Imported here, because loading and fitting do not need it.
    from safetensors.numpy import save

    envelope = {"digest": _NO_DIGEST, "format": FORMAT, "needs": NEEDS}
    arrays = {
        # safetensors copies the memory as it is, whatever the strides.
        name: np.frombuffer(t, np.uint8) if isinstance(t, bytes) else np.ascontiguousarray(t)
        for name, t in tensors.items()
    }
    data = save(arrays, {"skae": canonical({**envelope, **metadata})})
    begin = data.index(_DIGEST) + len(_DIGEST)
    digest = hashlib.sha256(data).hexdigest().encode()
    view = memoryview(data)
    return [view[:begin], memoryview(digest), view[begin + len(digest) :]]


def read_header(file: BinaryIO, size: int) -> Header:
    """Read and check the header of a file of `size` bytes; leave the position at the data."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 0 < length <= MAX_HEADER or 8 + length > size:
        raise ValueError(
            "it is not a safetensors file, or its header is one that skae never writes."
        )
    text = file.read(length)
    header = parse(text)
    metadata = _metadata(header)
    if text.count(_DIGEST) != 1 or not re.fullmatch("[0-9a-f]{64}", str(metadata.get("digest"))):
        raise ValueError("its metadata do not have a digest where skae writes it.")
    _check_format(metadata)
    tensors, end = _tensors(header)
    if 8 + length + end != size:
        raise ValueError(f"its header declares {8 + length + end} bytes, but it has {size}.")
    digest = metadata["digest"]
    undigested = start + text.replace(_DIGEST + digest.encode(), _DIGEST + _NO_DIGEST.encode())
    rest = {key: metadata[key] for key in metadata.keys() - {"digest", "format", "needs"}}
    return Header(_as_today(metadata["format"], rest), tensors, digest, undigested)


def _as_today(number, metadata):
    """Return the metadata of an earlier format with the values that later keys had in effect."""
    network, parameters = metadata.get("network"), metadata.get("parameters")
    if not (isinstance(network, dict) and isinstance(parameters, dict)):
        return metadata  # which the checks of the state refuse
    if number < 2:
        network = {"output_unit": None, **network}
    if number < 3:
        network = {"label_kind": None, "n_label_outputs": 0, **network}
        parameters = {"label_weight": 0.0, "missing_label": None, **parameters}
        metadata = {"labels": None, **metadata}
    if number < 4:
        given = network.get("n_components")
        metadata = {"found": {"gain_over_pca": None, "n_components": given}, **metadata}
    if number < 6:
        metadata = {"stream": None, **metadata}
    if number < 7:
        parameters = {"shuffle": True, **parameters}
    return {**metadata, "network": network, "parameters": parameters}


def read_tensors(file: io.FileIO | io.BufferedReader | io.BytesIO, header: Header) -> dict:
    """Read tensors into arrays that own their memory, texts into bytearrays; check the digest."""
    digest = hashlib.sha256(header.undigested)
    tensors = {}
    for name, (dtype, shape) in header.tensors.items():
        text = bytearray(*shape) if dtype == DTYPES["U8"] else None
        tensor = np.empty(shape, dtype) if text is None else np.frombuffer(text, dtype)
        buffer = tensor.reshape(-1).view(np.uint8).data
        if file.readinto(buffer) != len(buffer):
            raise ValueError("it became shorter while it was being read.")
        digest.update(buffer)
        # Convert to the machine's byte order. It is nearly always the file's: nothing is copied.
        native = tensor.astype(dtype.newbyteorder("="), copy=False)
        tensors[name] = native if text is None else text
    if digest.hexdigest() != header.digest:
        raise ValueError("it is damaged: its content does not match its digest.")
    return tensors


def canonical(value: Any) -> str:
    """Return a value as JSON, in the same form for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse(text: bytes) -> Any:
    """Parse JSON strictly: only ASCII, no repeated keys, no NaN, no integers above 64 bits."""
    if not text.isascii():
        raise ValueError("its header has bytes that are not ASCII.")
    decoded = text.decode()
    # Check the depth first, because the parser recurses.
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", decoded)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise ValueError(
            f"its header has JSON of depth {deepest}, and at most {MAX_DEPTH} is allowed."
        )
    return json.loads(
        decoded,
        object_pairs_hook=_object,
        parse_constant=_constant,
        parse_int=_integer,
    )


def _object(pairs):
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("its header has an object with a repeated key.")
    return keys


def _constant(name):
    raise ValueError(f"its header has {name}, which is not valid JSON.")


def _integer(digits):
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError("its header has an integer of more than 64 bits.")
    return int(digits)


def _metadata(header):
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object.")
    entries = header.pop("__metadata__", None)
    if not (isinstance(entries, dict) and isinstance(entries.get("skae"), str)):
        raise ValueError("it is a safetensors file, but skae did not write it.")
    if len(entries) > 1:
        raise ValueError("it has metadata that skae did not write.")
    text = entries["skae"]
    metadata = parse(text.encode("utf-8", "replace"))
    if not isinstance(metadata, dict) or canonical(metadata) != text:
        raise ValueError("its metadata are not canonical JSON.")
    return metadata


def _check_format(metadata):
    number, needs = metadata.get("format"), str(metadata.get("needs"))
    if type(number) is not int or number < 1 or not re.fullmatch(r"\d[\w.+-]{0,31}", needs):
        raise ValueError("its metadata do not have a valid format number and release.")
    if number > FORMAT:
        raise LaterFormatError(
            f"it has format {number}, but this release of skae reads formats up to {FORMAT}. "
            f"Install skae {needs} or later."
        )


def _tensors(header):
    """Return the declared tensors, in the order of their data, and the end of the data."""
    spans = []
    for name, entry in header.items():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError("its header has an entry that does not declare a tensor.")
        dtype, shape, offsets = (entry[key] for key in ("dtype", "shape", "data_offsets"))
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise ValueError("its header declares a tensor of a type that skae never writes.")
        if not (_integers(shape, 1) and 0 < len(shape) <= MAX_TENSOR_DEPTH):
            raise ValueError("its header declares a tensor without a valid shape.")
        if not (_integers(offsets, 0) and len(offsets) == 2):
            raise ValueError("its header declares a tensor without valid data offsets.")
        spans.append((*offsets, name, Tensor(DTYPES[dtype], tuple(shape))))
    position, tensors = 0, {}
    for begin, end, name, tensor in sorted(spans):
        if begin != position or end - begin != math.prod(tensor.shape) * tensor.dtype.itemsize:
            raise ValueError("its header declares tensors that do not lie side by side.")
        position, tensors[name] = end, tensor
    return tensors, position


def _integers(value, least):
    return isinstance(value, list) and all(type(n) is int and n >= least for n in value)
