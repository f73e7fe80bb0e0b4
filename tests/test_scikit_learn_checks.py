"""Run every check that scikit-learn has for transformers, and those for its own estimators."""

import contextlib
import dataclasses
import functools

import numpy as np
import pytest
import sklearn
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from sklearn.utils.fixes import parse_version

from skae import AutoencoderTransformer


class OneColumnImages(AutoencoderTransformer):
    """Take rows for images of one column, however many features a check has."""

    def fit(self, X, y=None, *, sample_weight=None, X_val=None):
        with self._one_column(X):
            return super().fit(X, y, sample_weight=sample_weight, X_val=X_val)

    def partial_fit(self, X, y=None, *, sample_weight=None):
        with self._one_column(X):
            return super().partial_fit(X, y, sample_weight=sample_weight)

    @contextlib.contextmanager
    def _one_column(self, X):
        given, shape = self.image_shape, getattr(X, "shape", None) or np.asarray(X).shape
        self.image_shape = (*shape[1:], 1) if given is None else given
        try:
            yield
        finally:
            self.image_shape = given


@dataclasses.dataclass(frozen=True)
class TwoLayers:
    """A network that follows its description.

    It is not a function, since the address of a function would be in the names of tests. These have
    to be the same in all processes.
    """

    def __call__(self, spec):
        import keras

        def half(n_inputs, n_outputs):
            kernels = keras.initializers.GlorotUniform(seed=0)
            dense = keras.layers.Dense(n_outputs, kernel_initializer=kernels, dtype=spec.dtype)
            return keras.Sequential([keras.Input((n_inputs,), dtype=spec.dtype), dense])

        return half(spec.n_features, spec.n_components), half(spec.n_components, spec.n_features)


CONFIGURATIONS = [
    AutoencoderTransformer(2),
    AutoencoderTransformer(2, hidden_layer_sizes=()),
    # With a seed, since a few steps from some random starts do not reduce the loss, which warns.
    AutoencoderTransformer(
        2,
        init="glorot_uniform",
        output_activation="sigmoid",
        epochs=20,
        learning_rate=1e-3,
        random_state=0,
    ),
    AutoencoderTransformer(2, loss="poisson", sparsity=1e-3, epochs=20, early_stopping=False),
    AutoencoderTransformer(2, noise=0.2, kl_weight=0.5, epochs=20, early_stopping=False),
    AutoencoderTransformer(
        2, hidden_layer_sizes=(8,), label_weight=1.0, epochs=20, early_stopping=False
    ),
    AutoencoderTransformer(2, network=TwoLayers(), epochs=3, early_stopping=False),
    OneColumnImages(2, hidden_layer_sizes=2, epochs=2, early_stopping=False),
]


def expected_failures(estimator):
    """Return the checks that fail where noise is drawn for each row.

    There a weight of 2 can't equal two copies. test_variants.py tests what weights do instead.
    """
    if estimator.noise is None and not estimator.kl_weight:
        return {}
    reason = "two copies of a row are corrupted or sampled apart, one of weight 2 is not"
    return {
        f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in ("dense", "sparse")
    }


# The checks in scikit-learn 1.9 for a transformer that takes sample weights and sparse input and
# preserves dtypes. When a tag or a signature changes, scikit-learn drops a check silently.
CHECKS = {
    "check_all_zero_sample_weights_error",
    "check_array_api_input",
    "check_complex_data",
    "check_dict_unchanged",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimator_sparse_tag",
    "check_estimator_tags_renamed",
    "check_estimators_dtypes",
    "check_estimators_empty_data_messages",
    "check_estimators_fit_returns_self",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_estimators_unfitted",
    "check_f_contiguous_array_estimator",
    "check_fit1d",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit2d_predict1d",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_get_params_invariance",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_mixin_order",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_pipeline_consistency",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
    "check_sample_weights_list",
    "check_sample_weights_not_an_array",
    "check_sample_weights_not_overwritten",
    "check_sample_weights_pandas_series",
    "check_sample_weights_shape",
    "check_set_params",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
    "check_transformer_n_iter",
    "check_transformer_preserve_dtypes",
    "check_transformers_unfitted",
    "check_valid_tag_types",
}
# The first version of each check that the oldest supported scikit-learn does not have.
SINCE = {
    "check_all_zero_sample_weights_error": "1.9",
    "check_array_api_input": "1.9",
}

# scikit-learn runs these on its own estimators only.
OWN_CHECKS = [
    "check_dataframe_column_names_consistency",
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


def test_no_check_drops_out_unseen():
    """The names and the number of the checks are those of the installed version."""
    names = [check_name(check) for _, check in estimator_checks_generator(CONFIGURATIONS[0])]
    installed = parse_version(sklearn.__version__)
    missing = {name for name, since in SINCE.items() if installed < parse_version(since)}
    assert set(names) == CHECKS - missing
    # Some checks run a second time, on other data.
    assert len(names) == {(1, 7): 53, (1, 9): 54}.get(installed.release[:2], len(names))


# The checks give frames to estimators fitted to arrays, and the other way round.
FEATURE_NAMES = pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")


@FEATURE_NAMES
@parametrize_with_checks(CONFIGURATIONS, expected_failed_checks=expected_failures)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@FEATURE_NAMES
@pytest.mark.parametrize("estimator", [*CONFIGURATIONS[:2], *CONFIGURATIONS[-3:]], ids=str)
@pytest.mark.parametrize("name", OWN_CHECKS)
def test_check_for_estimators_of_scikit_learn(estimator, name):
    getattr(estimator_checks, name)(type(estimator).__name__, estimator)
