"""Make files that attack skae.load: changed files of skae, and files of other kinds."""

import copy
import hashlib
import io
import json
import os
import pathlib
import pickle
import socket
import zipfile

import numpy as np
from hypothesis import strategies as st

from skae._files.format import FORMAT

GOLDEN = pathlib.Path(__file__).parent / "golden"
DENSE, DEEP, CONVOLUTIONAL = WHOLE = tuple(
    (GOLDEN / f"format_1_{name}.safetensors").read_bytes()
    for name in ("dense", "deep_variational", "convolutional")
)
MARK = b'{\\"digest\\":\\"'


def take_apart(data):
    """Return the header without the metadata, the metadata, and the data."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return header, json.loads(header.pop("__metadata__")["skae"]), data[8 + length :]


def put_together(header, metadata, data):
    """Return a file with the right digest, from a header and metadata as objects or as text."""
    text = metadata if isinstance(metadata, str) else compact(metadata)
    if not isinstance(header, str):
        header = compact({"__metadata__": {"skae": text}, **header})
    header = header.encode("utf-8", "surrogatepass")
    return sealed(len(header).to_bytes(8, "little") + header + data)


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def sealed(data):
    """Return the file with its digest recomputed, as anyone who changes it on purpose can do."""
    at = data.find(MARK) + len(MARK)
    if at < len(MARK) or len(data) < at + 64:
        return data
    zeros = data[:at] + b"0" * 64 + data[at + 64 :]
    return zeros[:at] + hashlib.sha256(zeros).hexdigest().encode() + zeros[at + 64 :]


def with_tensors(tensors, **network):
    """Return a file with DENSE's metadata and other arrays."""
    _, metadata, _ = take_apart(DENSE)
    metadata["network"].update(network)
    header, data = {}, b""
    for name, array in tensors.items():
        dtype = {"f8": "F64", "f4": "F32", "u1": "U8"}[array.dtype.str[1:]]
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    return put_together(header, metadata, data)


def wide(n_features, names="", losses=0):
    """Return a file with many features, named by one text, and with a long loss curve."""
    shapes = [(n_features, 1), (1,), (1, n_features), (n_features,)]
    tensors = {f"weights.{i}": np.zeros(shape, np.float32) for i, shape in enumerate(shapes)}
    if names:
        tensors["feature_names"] = np.frombuffer(names.encode(), np.uint8)
    if losses:
        tensors["loss_curve"] = np.zeros(losses)
    return with_tensors(tensors, n_features=n_features, n_components=1, dtype="float32")


def spliced(rng):
    """Return a file with a piece cut out, doubled, moved, overwritten or inserted.

    The piece may come from another file.
    """
    while True:
        whole = rng.choice(WHOLE)
        other = rng.choice((*WHOLE, rng.randbytes(64), b"\0" * 64, b"9" * 64))
        begin, source = rng.randrange(len(whole)), rng.randrange(len(other))
        longest = rng.choice((1, 4, 16, 256))
        piece = other[source : source + rng.randint(0, longest)]
        changed = whole[:begin] + piece + whole[begin + rng.choice((0, len(piece), longest)) :]
        if changed not in WHOLE and sealed(changed) not in WHOLE:
            return changed


HOSTILE = [
    {"class_name": "function", "config": "system", "module": "os", "registered_name": "system"},
    {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}},
    {"class_name": "Adam", "config": {"learning_rate": {"class_name": "Custom", "module": "os"}}},
    {"class_name": "Adam", "config": {}, "module": "os", "registered_name": "os>system"},
    {"class_name": "AdamW", "config": {"weight_decay": 0.1, "clipnorm": -1}},
    {"class_name": "SGD", "config": {"momentum": 1e308, "nesterov": True}},
    {"class_name": "LogCosh", "config": {"reduction": "sum"}},
]
NUMBERS = [0, 1, 2, 3, 5, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**400, 0.0, 0.5, -0.0]
NUMBERS += [1e-320, 1e308, float("nan"), float("inf")]
WORDS = ["", "auto", "linear", "relu", "tanh", "exponential", "softmax", "float32", "float64"]
WORDS += ["mse", "poisson", "sgd", "pandas", "polars", "masking", "gaussian", "F32", "F64", "U8"]
WORDS += ["\ud800", "\0", "ä", "__class__", "0.1.0", "99.0", "callable", "os.system"]
LEAVES = (
    st.none()
    | st.booleans()
    | st.sampled_from(NUMBERS)
    | st.sampled_from(WORDS)
    | st.integers()
    | st.floats()
)
VALUES = st.sampled_from(HOSTILE).map(copy.deepcopy) | st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(WORDS), inner),
    max_leaves=8,
)

ALIKE = {
    bool: st.booleans(),
    int: st.integers(1, 9) | st.integers(1, 2**63 - 1),
    float: st.floats(0, 1) | st.floats(0, 1e308),
    str: st.sampled_from(WORDS),
}


def places(value, path=()):
    """Yield the path of every place in a tree of JSON."""
    yield path
    pairs = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value if isinstance(value, list) else ())
    )
    for key, entry in pairs:
        yield from places(entry, (*path, key))


def mutate(tree, draw):
    """Change a tree of JSON in one place."""
    *path, key = draw(st.sampled_from([path for path in places(tree) if path]))
    for step in path:
        tree = tree[step]
    change = draw(st.sampled_from(["alike"] * 5 + ["replace", "replace", "remove", "add", "wrap"]))
    if change == "alike":
        tree[key] = draw(ALIKE.get(type(tree[key]), VALUES))
    elif change == "remove":
        del tree[key]
    elif change == "wrap":
        tree[key] = [tree[key]]
    elif change == "add" and isinstance(tree, dict):
        tree[draw(st.sampled_from(WORDS))] = draw(VALUES)
    elif change == "add":
        tree.insert(key, draw(VALUES))
    else:
        tree[key] = draw(VALUES)


def mutated(draw):
    """Return a file whose header and metadata are JSON of the right sizes with other content."""
    header, metadata, data = take_apart(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 3))):
        mutate(draw(st.sampled_from([metadata, metadata, metadata, header])), draw)
    return put_together(header, metadata, data)


def floods():
    """Return files that would take memory, time or stack if they were believed."""
    header, metadata, data = take_apart(DENSE)
    text = compact(metadata)
    outer = compact({"__metadata__": {"skae": text}, **header})
    tensors = ",".join(TENSOR % i for i in range(3000))
    many, long = "9" * 10**5, "9" * 4000
    return {
        "3,000 tensors": put_together("{" + tensors + "}", "", b""),
        "depth 10^5": put_together("[" * 10**5, "", b""),
        "depth 10^5 in metadata": put_together(header, '{"digest":"' + "[" * 10**5, data),
        "80,000 empty lists": put_together('{"a":[' + "[]," * 80_000 + "[]]}", "", b""),
        "50,000 strings": put_together('{"a":["\\u0100"' + ',"ab"' * 50_000 + "]}", "", b""),
        "integer of 10^5 digits": put_together(outer.replace("[0,", f"[{many},"), "", data),
        "integer of 4,000 digits": put_together(header, text.replace("10,", f"{long},"), data),
        "key twice in header": put_together(outer[:-1] + "," + outer[1:], "", data),
        "key twice in metadata": put_together(header, text[:-1] + ',"output":null}', data),
        "header of 2^63 bytes": (2**63).to_bytes(8, "little") + DENSE[8:],
        "header longer than the file": (2**17).to_bytes(8, "little") + DENSE[8:],
        "10^6 features with names": wide(10**6, "a\0" * 10**6),
        "names that miss": wide(10**5, "a\0" * 10),
        "names that double in memory": wide(100, ("\U0001f600" + "a" * 50_000 + "\0") * 100),
        "10^6 losses": wide(10, losses=10**6),
    }


def large():
    """Return files that look like these floods, but have to be accepted."""
    names = (f"gene {i:9}" for i in range(100_000))
    return {
        "100,000 features with names": wide(100_000, "".join(f"{name}\0" for name in names)),
        "280,000 losses": wide(10, losses=280_000),
    }


TENSOR = '"t%d":{"data_offsets":[0,0],"dtype":"F32","shape":[0]}'


def write_large(folder):
    """Write files that are too large for memory, and return their paths."""
    paths = {name: os.path.join(folder, name) for name in ("10^6 tensors", "10^12 bytes, sparse")}
    tensors = [TENSOR % i for i in range(1000)]
    length = 1 + 1000 * (sum(map(len, tensors)) + 1000 * 4)
    with open(paths["10^6 tensors"], "wb") as file:
        file.write(length.to_bytes(8, "little") + b"{")
        for i in range(1000):
            piece = ",".join(tensor.replace("t", f"t{i:03}", 1) for tensor in tensors)
            file.write(b"," * (i > 0) + piece.encode())
        file.write(b"}")
    assert os.path.getsize(paths["10^6 tensors"]) == 8 + length
    with open(paths["10^12 bytes, sparse"], "wb") as file:
        file.write(DENSE)
        file.truncate(2**40)
    return paths


def no_regular_files(folder):
    """Make things that can't be read to an end, and return their paths."""
    paths = {name: os.path.join(folder, name) for name in ("pipe", "loop", "socket")}
    os.mkfifo(paths["pipe"])
    os.symlink("loop", paths["loop"])
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(paths["socket"])
    return {**paths, "directory": folder, "device": "/dev/zero"}


def others(estimator):
    """Return files of other kinds."""
    npz, keras, plain = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(npz, a=np.zeros(3))
    with zipfile.ZipFile(keras, "w") as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(name, b"{}")
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("file", DENSE)
    header, metadata, data = take_apart(DENSE)
    later = {**metadata, "format": FORMAT + 1, "needs": "9.9.9"}
    return {
        "empty": b"",
        "pickle": pickle.dumps(estimator),
        ".npz": npz.getvalue(),
        ".keras": keras.getvalue(),
        "zip": plain.getvalue(),
        "HDF5": b"\x89HDF\r\n\x1a\n" + b"\0" * 500,
        "safetensors of another program": put_together(compact(header), "", data),
        "a later format": put_together(header, later, data),
        "something behind it": DENSE + b"\0",
        "two in one": DENSE + DENSE,
    }
