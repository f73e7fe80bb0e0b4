"""A fit computes on the device of its caller, and leaves the settings of TensorFlow alone."""

import json
import subprocess
import sys
import textwrap

import pytest

# Two logical devices of the CPU behave as two devices do: each has variables of its own.
ON_BOTH = """
    import json
    import numpy as np
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [logical, logical])

    from sklearn.datasets import load_digits
    from skae import AutoencoderTransformer
    from skae._keras import inference, training

    NETWORKS = {
        "plain": {"hidden_layer_sizes": (), "output_activation": "sigmoid"},
        "deep": {"hidden_layer_sizes": (16, 8), "early_stopping": False},
        "convolutional": {"image_shape": (8, 8), "hidden_layer_sizes": (4,)},
    }
    X = load_digits().data[:400] / 16

    def variables():
        programs = training._programs.values()
        for program in [*programs, *(twin for program in programs for twin in program._twins)]:
            yield from program._trained.variables
            yield from program._optimizer_variables
        for shared in inference._networks.values():
            yield from shared.network.variables

    def found(name, dtype):
        settings = {"epochs": 2, "random_state": 0, **NETWORKS[name]}
        fitted = AutoencoderTransformer(4, **settings).fit(X.astype(dtype))
        rows = fitted.reconstruct(X.astype(dtype))
        devices = {variable.value.device[-5:] for variable in variables()}
        training._programs.clear()
        inference._networks.clear()
        return rows, devices

    for name in NETWORKS:
        for dtype in ("float32", "float64")[: 1 + (name == "plain")]:
            first, there = found(name, dtype)
            with tf.device("CPU:1"):
                second, here = found(name, dtype)
            same = bool(np.array_equal(first, second))
            print(json.dumps([name, dtype, [*there], [*here], same]))
    print(json.dumps(len(tf.config.list_logical_devices("CPU"))))
"""


# A machine with two GPUs, as far as `skae._keras` asks for them.
TWO_GPUS = """
    import builtins

    given = builtins.__import__
    grown = []

    def imported(name, scope=None, *others, **options):
        module = given(name, scope, *others, **options)
        if name == "tensorflow" and scope and scope["__name__"] == "skae._keras":
            module.config.list_physical_devices = lambda kind: ["first", "second"]
            module.config.experimental.set_memory_growth = lambda *given: grown.append(given)
        return module

    builtins.__import__ = imported
    from skae._framework import load_framework

    load_framework()
    print(grown)
"""


def run(code):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


def test_a_fit_computes_on_the_device_of_the_caller():
    *fits, n_devices = map(json.loads, run(ON_BOTH))
    assert len(fits) == 4
    assert all(fit[2:] == [["CPU:0"], ["CPU:1"], True] for fit in fits), fits
    assert n_devices == 2


@pytest.mark.parametrize(
    ("before", "grown"),
    [("", [("first", True), ("second", True)]), ("import tensorflow", [])],
    ids=["skae imports TensorFlow", "the user has imported it"],
)
def test_memory_of_gpus_grows_unless_tensorflow_is_the_users(before, grown):
    assert run(before + textwrap.dedent(TWO_GPUS)) == [str(grown)]
