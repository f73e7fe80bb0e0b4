"""Docstrings and README say what is so."""

import doctest
import inspect

import numpydoc.validate
import pytest

from skae import AutoencoderTransformer, _autoencoder

# scikit-learn's own habits: no extended summary where one sentence says all, no "See Also" and
# no example for every method, names for what is returned.
IGNORED = {"ES01", "SA01", "EX01", "RT02"}
PUBLIC = ["AutoencoderTransformer"] + [
    f"AutoencoderTransformer.{name}"
    for name, member in inspect.getmembers(AutoencoderTransformer, inspect.isfunction)
    if not name.startswith("_") and member.__module__.startswith("skae")
]


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_follow_numpydoc(name):
    report = numpydoc.validate.validate(f"skae.{name}")
    assert [error for error in report["errors"] if error[0] not in IGNORED] == []


def test_examples_in_docstrings_run():
    assert doctest.testmod(_autoencoder).failed == 0
    assert doctest.testmod(_autoencoder).attempted > 5


def test_every_parameter_and_fitted_attribute_is_documented():
    estimator = AutoencoderTransformer(1, epochs=1).fit([[0.0, 1.0], [1.0, 0.5], [0.2, 0.3]])
    fitted = {name for name in vars(estimator) if name.endswith("_")}
    documented = inspect.getdoc(AutoencoderTransformer)
    for name in [*estimator.get_params(), *fitted, "feature_names_in_"]:
        assert f"\n{name} : " in documented
