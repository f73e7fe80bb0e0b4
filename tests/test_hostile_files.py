"""Files that are not what they seem are refused with a reason, and do no harm."""

import os
import pathlib
import re
import runpy
import subprocess
import sys

import numpy as np
import pytest

import skae

TESTS = pathlib.Path(__file__).parent
HOSTILE = runpy.run_path(str(TESTS / "hostile_files.py"))
DENSE, CONVOLUTIONAL = HOSTILE["DENSE"], HOSTILE["CONVOLUTIONAL"]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")


def changed(change, data=DENSE):
    """Return a file with the right digest whose header or metadata a function has changed."""
    header, metadata, arrays = HOSTILE["take_apart"](data)
    change(header, metadata)
    return HOSTILE["put_together"](header, metadata, arrays)


def parameter(name, value):
    return changed(lambda _, metadata: metadata["parameters"].update({name: value}))


def network(data=DENSE, **fields):
    return changed(lambda _, metadata: metadata["network"].update(fields), data)


def entry(**fields):
    """Return a file that declares another bias of the encoder."""
    return changed(lambda header, _: header["weights.1"].update(fields))


def metadata(**entries):
    return changed(lambda _, metadata: metadata.update(entries))


def without_digest():
    return changed(lambda _, metadata: metadata.pop("digest"))


def text(old, new):
    """Return a file in whose metadata one text is replaced by another."""
    header, entries, data = HOSTILE["take_apart"](DENSE)
    return HOSTILE["put_together"](header, HOSTILE["compact"](entries).replace(old, new), data)


MODULE = {"class_name": "Adam", "config": {}, "module": "os", "registered_name": "os>system"}
FUNCTION = {"class_name": "function", "config": "system", "module": "os"}
ENDLESS = {"class_name": "Muon", "config": {"ns_steps": 2**40}}
NESTED = {"class_name": "Adam", "config": {"learning_rate": MODULE}}
REFUSED = {
    "damaged": (DENSE[:-1] + b"?", "it is damaged: its content does not match its digest"),
    "cut": (DENSE[:-1], "its header declares 1857 bytes, but it has 1856"),
    "longer": (DENSE + b"\0", "its header declares 1857 bytes, but it has 1858"),
    "empty": (b"", "it is not a safetensors file"),
    "pickle": (b"\x80\x04cos\nsystem\n(S'true'\ntR.", "it is not a safetensors file"),
    "of others": (
        HOSTILE["put_together"]("{}", "", b""),
        "safetensors file, but skae did not write it",
    ),
    "later": (
        metadata(format=99, needs="0.7.0"),
        r"it has format 99, .* Install skae 0\.7\.0 or l",
    ),
    "later, rude": (metadata(format=4, needs="\33[2J"), "have a valid format number"),
    "no digest": (without_digest(), "not have a digest where skae writes it"),
    "no format": (metadata(format=True), "have a valid format number"),
    "more keys": (metadata(more=1), "the keys of its metadata are not"),
    "key twice": (text('"output":null', '"output":null,"output":null'), "a repeated key"),
    "NaN": (text('"tol":0.0001', '"tol":NaN'), "NaN, which is not valid JSON"),
    "infinite": (text('"tol":0.0001', '"tol":1e999'), "not JSON compliant"),
    "another form": (text('"tol":0.0001', '"tol":0.00010'), "not canonical JSON"),
    "long integer": (text('"epochs":3', '"epochs":' + "9" * 30), "more than 64 bits"),
    "parameter": (parameter("epochs", 0), "'epochs' parameter .* Got 0 instead"),
    "parameter of noise": (parameter("noise", ["masking", 2]), "'noise' parameter"),
    "list": (parameter("epochs", [1]), r"can't hold \[1\] as the 'epochs'"),
    "new parameter": (parameter("depth", 1), "the keys of its parameters are not"),
    "class": (
        parameter("optimizer", {"class_name": "Mine", "config": {}}),
        "of Keras' own classes",
    ),
    "module": (parameter("optimizer", MODULE), "of Keras' own classes .* plain numbers"),
    "function": (parameter("loss", FUNCTION), "of Keras' own classes .* plain numbers"),
    "nested": (parameter("optimizer", NESTED), "JSON of depth 6"),
    "endless": (parameter("optimizer", ENDLESS), "of Keras' own classes .* plain numbers"),
    "callable": (parameter("network", "os.system"), "'network' parameter"),
    "activation": (network(activation="eval"), "its network is not valid: activation is 'eval'"),
    "no unit of the output": (network(output_unit=0.0), "output_unit is 0.0"),
    "a huge integer as unit": (network(output_unit=2**62), "output_unit is 4611686018427387904"),
    "text as unit": (network(output_unit="1"), "output_unit is '1'"),
    "no features": (network(n_features=0), "n_features is 0"),
    "boolean width": (network(n_components=True), "n_components is True"),
    "shortcut to nowhere": (network(shortcut=True), "shortcut is True"),
    "a gain that is text": (
        metadata(found={"gain_over_pca": "1.5", "n_components": 2}),
        "its findings are not those",
    ),
    "fewer components given": (
        metadata(found={"gain_over_pca": None, "n_components": 1}),
        "its findings are not those",
    ),
    "other shapes": (network(n_components=3), "tensors are not those of its network"),
    "other dtype": (network(dtype="float32"), "tensors are not those of its network"),
    "image": (network(image_shape=[1, 5, 1]), r"image_shape is \[1, 5, 1\]"),
    "image of others": (
        network(CONVOLUTIONAL, image_shape=[3, 3, 1]),
        "not have n_features entries",
    ),
    "bomb": (
        network(CONVOLUTIONAL, hidden_layer_sizes=[1] * 8),
        r"8 convolutions are too many for images of shape \(3, 4, 1\).* 65536 pixels",
    ),
    "output": (metadata(output="os"), "set_output was called with 'os'"),
    "request": (metadata(requests={"fit": {"X_val": "a b"}}), "neither a bool nor a name"),
    "request of another": (metadata(requests={"fit": {"Z": True}}), "that fit does not take"),
    "version": (
        metadata(versions={"numpy": "", "scikit-learn": "1", "skae": "1"}),
        "a version that is not valid",
    ),
    "type": (entry(dtype="F16"), "of a type that skae never writes"),
    "no shape": (entry(shape=[]), "a tensor without a valid shape"),
    "zero size": (entry(shape=[0]), "a tensor without a valid shape"),
    "overlap": (entry(data_offsets=[0, 16]), "do not lie side by side"),
    "size": (entry(shape=[3]), "do not lie side by side"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_files_are_told_apart(name, tmp_path):
    """All of them except the damaged one have the right digest."""
    data, message = REFUSED[name]
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(skae.ModelFileError, match=f"file' can't be loaded: .*{message}"):
        skae.load(tmp_path / "file")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    header, entries, data = HOSTILE["take_apart"](DENSE)
    begin = header["weights.0"]["data_offsets"][0]
    for value in (np.nan, np.inf, -np.inf):
        spoilt = data[:begin] + np.float64(value).tobytes() + data[begin + 8 :]
        (tmp_path / "file").write_bytes(HOSTILE["put_together"](header, entries, spoilt))
        with pytest.raises(skae.ModelFileError, match="weights are not finite"):
            skae.load(tmp_path / "file")


def test_names_are_checked(tmp_path):
    header, entries, data = HOSTILE["take_apart"](DENSE)
    begin = header["feature_names"]["data_offsets"][0]
    for old, new, message in (
        (b"width\0", b"width ", "exactly one name for each feature"),
        (b"width\0", b"widt\xff\0", "can't decode byte 0xff"),
    ):
        assert old in data[begin:]
        file = HOSTILE["put_together"](header, entries, data.replace(old, new))
        (tmp_path / "file").write_bytes(file)
        with pytest.raises(skae.ModelFileError, match=message):
            skae.load(tmp_path / "file")


def test_what_is_changed_within_bounds_is_loaded(tmp_path):
    """So the files above are refused for the reasons named, and not for any change."""
    (tmp_path / "file").write_bytes(parameter("epochs", 7))
    assert skae.load(tmp_path / "file").epochs == 7
    (tmp_path / "file").write_bytes(network(activation="tanh"))
    assert skae.load(tmp_path / "file").network_["activation"] == "tanh"


def test_no_file_raises_as_open_does(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "nothing"))):
        skae.load(tmp_path / "nothing")


@pytest.mark.parametrize("kind", ["pipe", "loop", "socket", "directory", "device"])
def test_what_is_no_regular_file_is_refused_at_once(kind, tmp_path):
    path = HOSTILE["no_regular_files"](str(tmp_path))[kind]
    with pytest.raises(skae.ModelFileError, match="can't be loaded: it is not a regular file"):
        skae.load(path)


def command(name, *arguments):
    """Run one of the long attacks in its short form, in a process of its own."""
    return subprocess.run(
        [sys.executable, TESTS / name, *arguments],
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(skae.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_thousands_of_hostile_files_do_no_harm():
    """The script says what is promised, and exits with an error if a promise is broken."""
    done = command("fuzz_files.py", "--quick")
    assert done.returncode == 0, done.stderr + done.stdout
    assert int(re.search(r"^(\d+) files", done.stdout, re.M)[1]) > 3000


def test_a_kill_leaves_the_old_file_or_the_new():
    done = command("kill_saves.py", "10")
    assert done.returncode == 0, done.stderr
    assert "the old or the new file 10 times" in done.stdout
