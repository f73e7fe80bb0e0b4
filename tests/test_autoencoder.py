"""What the estimator does with good input."""

import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

import skae
from skae import AutoencoderTransformer
from skae._parameters import OPTIMIZERS


@pytest.fixture(scope="module")
def digits():
    return (load_digits().data / 16).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(digits):
    return AutoencoderTransformer(8, random_state=0).fit(digits)


def error(estimator, X):
    return np.mean((X - estimator.inverse_transform(estimator.transform(X))) ** 2)


def test_package_names():
    """The package exports what it says, and nothing else public but `skae.onnx`, once imported."""
    public = {name for name in vars(skae) if not name.startswith("_")}
    assert set(skae.__all__) - {"__version__"} == public - {"onnx"}


def test_shapes_and_names(digits, fitted):
    codes = fitted.transform(digits)
    assert codes.shape == (len(digits), 8)
    assert fitted.inverse_transform(codes).shape == digits.shape
    assert list(fitted.get_feature_names_out()) == [f"autoencodertransformer{i}" for i in range(8)]
    assert fitted.n_features_in_ == 64
    assert fitted.n_iter_ == len(fitted.loss_curve_)


def test_default_code_has_32_components(digits):
    assert AutoencoderTransformer(random_state=0).fit_transform(digits[:200]).shape == (200, 32)


def test_fit_improves_on_pca_where_it_can(digits):
    """On unseen digits the error is well under PCA's; measured 0.82 times."""
    train, test = digits[:1200], digits[1200:]
    pca = PCA(8).fit(train)
    ours = AutoencoderTransformer(8, random_state=0).fit(train)
    assert error(ours, test) < 0.9 * error(pca, test)


def test_deep_network_improves_on_pca_where_it_can(digits):
    """One hidden layer more than halves the error where data are curved; measured 0.45 times."""
    train, test = digits[:1200], digits[1200:]
    deep = AutoencoderTransformer(8, hidden_layer_sizes=(128,), random_state=0).fit(train)
    assert error(deep, test) < 0.6 * error(PCA(8).fit(train), test)


def test_linear_problem_is_pca():
    """Standardised tables have no sigmoid to gain from: codes and reconstructions are PCA's."""
    X = StandardScaler().fit_transform(load_iris().data)
    ours, pca = AutoencoderTransformer(2, random_state=0).fit(X), PCA(2).fit(X)
    assert ours.n_iter_ == 0
    assert_allclose(ours.reconstruct(X), pca.inverse_transform(pca.transform(X)), atol=1e-9)
    assert_allclose(np.abs(ours.transform(X)), np.abs(pca.transform(X)), atol=1e-9)


def test_integer_epochs_are_all_run_without_early_stopping(digits):
    fitted = AutoencoderTransformer(4, epochs=7, early_stopping=False, random_state=0).fit(digits)
    assert fitted.n_iter_ == len(fitted.loss_curve_) == 7
    assert fitted.validation_loss_curve_ == []


def test_plain_program_ends_where_keras_ends(digits):
    """The same network, optimizer and schedule in plain Keras reach the same error.

    Random starts differ, so the two agree to the spread of such errors over five starts.
    """
    import keras

    inputs = keras.Input((64,))
    code = keras.layers.Dense(8, "relu")(inputs)
    plain = keras.Model(inputs, keras.layers.Dense(64, "sigmoid")(code))
    ours, theirs = [], []
    for seed in range(5):
        keras.utils.set_random_seed(seed)
        model = keras.models.clone_model(plain)
        model.compile(keras.optimizers.Adam(1e-2), "mse")
        model.fit(digits, digits, batch_size=64, epochs=20, shuffle=True, verbose=0)
        theirs.append(np.mean((model.predict(digits, verbose=0) - digits) ** 2))
        estimator = AutoencoderTransformer(
            8,
            init="glorot_uniform",
            learning_rate=1e-2,
            batch_size=64,
            epochs=20,
            early_stopping=False,
            random_state=seed,
        ).fit(digits)
        assert estimator.network_["code_activation"] == "relu"
        assert estimator.network_["output_activation"] == "sigmoid"
        ours.append(error(estimator, digits))
    assert abs(np.mean(ours) - np.mean(theirs)) < 3 * np.std(theirs)


def test_one_step_equals_one_step_of_keras(digits):
    """From the same weights, a full-batch step moves every weight as Keras' own train step does."""
    settings = {"epochs": 1, "batch_size": 2000, "early_stopping": False, "learning_rate": 1e-3}
    settings |= {"init": "glorot_uniform", "random_state": 0}
    start = AutoencoderTransformer(8, **{**settings, "learning_rate": 1e-30}).fit(digits)
    model = start.to_keras()[2]
    model.compile("adam", "mse")
    model.train_on_batch(digits, digits)
    stepped = AutoencoderTransformer(8, **settings).fit(digits)
    for ours, theirs in zip(stepped.weights_, model.get_weights(), strict=True):
        assert_allclose(ours, theirs, atol=1e-6)


def test_auto_output_activation_is_chosen_by_error(digits):
    """Images in [0, 1] get a sigmoid; a table scaled to [0, 1] that is linear does not."""
    assert (
        AutoencoderTransformer(8, random_state=0).fit(digits).network_["output_activation"]
        == "sigmoid"
    )
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 20))
    X = (X - X.min()) / (X.max() - X.min())
    fitted = AutoencoderTransformer(4, random_state=0).fit(X)
    assert fitted.network_["output_activation"] == "linear"
    assert fitted.score(X) > 1 - 1e-12


@pytest.mark.parametrize("hidden_layer_sizes", [(), (64,)])
def test_linear_code_is_ordered(digits, hidden_layer_sizes):
    """Trained codes are centred, uncorrelated, in falling order, with distances of digits."""
    estimator = AutoencoderTransformer(
        8, hidden_layer_sizes=hidden_layer_sizes, epochs=20, early_stopping=False, random_state=0
    )
    codes = estimator.fit_transform(digits).astype(float)
    assert_allclose(codes.mean(axis=0), 0, atol=1e-4)
    covariance = np.cov(codes.T)
    variances = np.diag(covariance)
    assert (np.diff(variances) < 0).all()
    assert np.abs(covariance - np.diag(variances)).max() < 1e-4 * variances[0]
    spread = estimator.inverse_transform(codes).var(axis=0).sum()
    assert 0.7 * spread < variances.sum() < 1.3 * spread


def test_rectified_code_is_the_linear_one_raised(digits):
    """From PCA, a rectified code describes the training rows as the linear one does."""
    linear = AutoencoderTransformer(4, random_state=0).fit(digits)
    rectified = AutoencoderTransformer(4, code_activation="relu", random_state=0).fit(digits)
    assert rectified.transform(digits).min() > 0
    assert_allclose(rectified.reconstruct(digits), linear.reconstruct(digits), atol=1e-4)


@pytest.mark.parametrize("code_activation", ["elu", "leaky_relu", "relu", "selu", "tanh", "gelu"])
def test_start_is_pca_for_any_code_activation(digits, code_activation):
    """An untrained network explains what PCA explains, to first order."""
    X = np.asarray(digits, np.float64)
    fitted = AutoencoderTransformer(
        4,
        code_activation=code_activation,
        output_activation="linear",
        epochs=1,
        learning_rate=1e-12,
        early_stopping=False,
        random_state=0,
    ).fit(X)
    assert error(fitted, X) < 1.1 * error(PCA(4).fit(X), X)


@pytest.mark.parametrize("loss", ["mae", "huber", "binary_crossentropy", "poisson"])
def test_losses_train(digits, loss):
    """Every loss falls, and its "auto" output suits it."""
    fitted = AutoencoderTransformer(
        8, loss=loss, epochs=5, early_stopping=False, random_state=0
    ).fit(digits)
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]
    suits = {"binary_crossentropy": "sigmoid", "poisson": "exponential"}
    if loss in suits:
        assert fitted.network_["output_activation"] == suits[loss]


def test_configurations_of_keras_are_used(digits):
    """Dicts reach Keras: a tiny Huber delta makes the loss linear, decay shrinks weights."""
    huber = {"class_name": "Huber", "config": {"delta": 1e-3}}
    fitted = AutoencoderTransformer(
        8, loss=huber, epochs=2, early_stopping=False, random_state=0
    ).fit(digits)
    assert fitted.loss_curve_[-1] < 1e-3
    norms = []
    for decay in (0.0, 5.0):
        optimizer = {"class_name": "AdamW", "config": {"weight_decay": decay}}
        settings = {"init": "glorot_uniform", "learning_rate": 1e-2, "early_stopping": False}
        fitted = AutoencoderTransformer(
            8, optimizer=optimizer, epochs=20, random_state=0, **settings
        ).fit(digits)
        norms.append(np.linalg.norm(np.concatenate([w.ravel() for w in fitted.weights_])))
    assert norms[1] < 0.5 * norms[0]


def test_configured_losses_compute_in_the_precision_of_the_rows(digits):
    """As named ones do: the configuration of Keras' own default is the same loss to the bit."""
    X = digits[:200].astype(np.float64)
    settings = {"epochs": 2, "sparsity": 1e-3, "random_state": 0}
    named = AutoencoderTransformer(4, loss="huber", **settings).fit(X)
    configured = {"class_name": "Huber", "config": {}}
    other = AutoencoderTransformer(4, loss=configured, **settings).fit(X)
    assert named.validation_loss_curve_ == other.validation_loss_curve_
    assert_array_equal(named.transform(X), other.transform(X))


@pytest.mark.parametrize("optimizer", ["sgd", "muon", "adafactor", "lion"])
def test_other_optimizers_refit_to_the_bit(digits, optimizer):
    """What an optimizer remembers does not leak from one fit into the next."""
    estimator = AutoencoderTransformer(
        4, optimizer=optimizer, learning_rate=1e-3, epochs=2, random_state=0
    )
    first = estimator.fit(digits).weights_
    for one, other in zip(first, estimator.fit(digits).weights_, strict=True):
        assert_array_equal(one, other)


def test_score_is_r2(digits, fitted):
    weights = np.random.default_rng(0).uniform(size=len(digits))
    expected = r2_score(
        digits,
        fitted.reconstruct(digits),
        sample_weight=weights,
        multioutput="variance_weighted",
    )
    assert fitted.score(digits, sample_weight=weights) == pytest.approx(expected)
    assert fitted.score(sparse.csr_array(digits)) == pytest.approx(fitted.score(digits))


def test_y_is_ignored(digits):
    first = AutoencoderTransformer(4, random_state=0).fit_transform(digits, ["a"] * len(digits))
    assert_array_equal(first, AutoencoderTransformer(4, random_state=0).fit_transform(digits))


def test_to_keras_shares_weights_and_equals_numpy(digits, fitted):
    encoder, decoder, autoencoder = fitted.to_keras()
    codes = fitted.transform(digits)
    assert_allclose(encoder(digits), codes, atol=1e-5)
    assert_allclose(decoder(codes), fitted.inverse_transform(codes), atol=1e-5)
    assert_allclose(autoencoder(digits), fitted.reconstruct(digits), atol=1e-5)
    encoder.set_weights([0 * array for array in encoder.get_weights()])
    assert np.ptp(np.asarray(autoencoder(digits)), axis=0).max() == 0
    assert_array_equal(fitted.transform(digits), codes)  # the estimator is not touched


def test_warm_start_continues(digits):
    """More epochs go on from the weights there are, and the curves are appended to."""
    settings = {"init": "glorot_uniform", "learning_rate": 1e-3, "random_state": 0}
    estimator = AutoencoderTransformer(
        8, epochs=5, early_stopping=False, warm_start=True, **settings
    ).fit(digits)
    first = estimator.loss_curve_
    estimator.fit(digits)
    assert estimator.loss_curve_[:5] == first
    assert len(estimator.loss_curve_) == estimator.n_iter_ == 10
    assert estimator.loss_curve_[5] < first[-1]


def test_without_warm_start_a_refit_starts_anew(digits, fitted):
    again = AutoencoderTransformer(8, random_state=0).fit(digits[:500]).fit(digits)
    assert_array_equal(again.transform(digits), fitted.transform(digits))


def test_early_stopping_keeps_the_best_weights(digits):
    """The weights kept have the lowest loss on X_val in the curve."""
    train, held = digits[:300], digits[300:600]
    fitted = AutoencoderTransformer(
        32, hidden_layer_sizes=(128,), epochs=60, learning_rate=5e-3, random_state=0
    ).fit(train, X_val=held)
    curve = fitted.validation_loss_curve_
    assert error(fitted, held) == pytest.approx(min(curve), rel=1e-3)


def test_early_stopping_ends_training_at_a_constant_rate(digits):
    fitted = AutoencoderTransformer(
        8,
        init="glorot_uniform",
        epochs=10_000,
        learning_rate=1e-2,
        n_iter_no_change=3,
        tol=1e-2,
        random_state=0,
    ).fit(digits)
    assert fitted.n_iter_ < 1000


def test_x_val_alone_is_only_recorded(digits):
    """Without early stopping X_val changes nothing but its curve."""
    settings = {"epochs": 3, "early_stopping": False, "random_state": 0}
    without = AutoencoderTransformer(4, **settings).fit(digits)
    with_it = AutoencoderTransformer(4, **settings).fit(digits, X_val=digits[:100])
    assert_array_equal(without.transform(digits), with_it.transform(digits))
    assert len(with_it.validation_loss_curve_) == 3
    assert with_it.validation_loss_curve_[-1] == pytest.approx(error(with_it, digits[:100]))


def test_weights_move_the_fit_to_the_heavy_rows(digits):
    """Rows with most of the weight are reconstructed better than without it."""
    X, weights = digits[:400], np.ones(400)
    weights[:40] = 100
    settings = {"epochs": 30, "early_stopping": False, "random_state": 0}
    plain = AutoencoderTransformer(4, **settings).fit(X)
    weighted = AutoencoderTransformer(4, **settings).fit(X, sample_weight=weights)
    assert error(weighted, X[:40]) < 0.9 * error(plain, X[:40])


def test_rows_of_weight_zero_are_not_there(digits):
    weights = np.ones(400)
    weights[200:] = 0
    with_zeros = AutoencoderTransformer(4, random_state=0).fit(digits[:400], sample_weight=weights)
    without = AutoencoderTransformer(4, random_state=0).fit(digits[:200])
    assert_allclose(with_zeros.transform(digits), without.transform(digits), atol=1e-4)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_frames_come_out_with_names_both_ways(digits, kind):
    names = [f"pixel{i}" for i in range(64)]
    frame = pd.DataFrame(digits, columns=names, index=np.arange(len(digits)) + 7)
    if kind == "polars":
        frame = pl.from_pandas(frame)
    estimator = AutoencoderTransformer(4, random_state=0).set_output(transform=kind).fit(frame)
    codes = estimator.transform(frame)
    assert list(codes.columns) == list(estimator.get_feature_names_out())
    decoded, reconstructed = estimator.inverse_transform(codes), estimator.reconstruct(frame)
    assert type(codes) is type(decoded) is type(reconstructed) is type(frame)
    assert list(decoded.columns) == list(reconstructed.columns) == names
    assert_array_equal(decoded.to_numpy(), reconstructed.to_numpy())
    if kind == "pandas":
        assert_array_equal(reconstructed.index, frame.index)


def test_frames_without_names_of_the_input(digits):
    """Fitted on an array, decoded frames have scikit-learn's default names."""
    estimator = AutoencoderTransformer(4, random_state=0).set_output(transform="pandas")
    decoded = estimator.fit(digits).inverse_transform(estimator.transform(digits))
    assert list(decoded.columns) == [f"x{i}" for i in range(64)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_dtypes_stay(digits, dtype):
    X = digits[:200].astype(dtype)
    estimator = AutoencoderTransformer(4, hidden_layer_sizes=(8,), random_state=0).fit(X)
    assert {array.dtype for array in estimator.weights_} == {np.dtype(dtype)}
    assert estimator.transform(X).dtype == estimator.reconstruct(X).dtype == dtype


def test_other_dtypes_become_float32():
    X = load_digits().data[:200].astype(np.uint8)
    estimator = AutoencoderTransformer(4, random_state=0).fit(X)
    assert estimator.transform(X).dtype == np.float32


def test_float64_is_computed_in_float64(digits):
    """A float64 fit agrees with itself on reordered sums far beyond what float32 could."""
    X = digits[:100].astype(np.float64)
    first = AutoencoderTransformer(4, random_state=0, epochs=50).fit(X).transform(X)
    order = np.random.default_rng(0).permutation(100)
    second = AutoencoderTransformer(4, random_state=0, epochs=50).fit(X[order]).transform(X)
    assert_allclose(first, second, rtol=1e-9, atol=1e-11)


def memory_mapped(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


@pytest.mark.parametrize(
    "kind",
    [
        "F",
        "read-only",
        "memory map",
        "strided",
        "pandas",
        "polars",
        "list",
        "csr_array",
        "csc_array",
        "csr_matrix",
    ],
)
def test_input_kinds_agree(digits, tmp_path, kind):
    """The same rows give the same fit in any container, and are not changed."""
    X = digits[:300]
    containers = {
        "F": np.asfortranarray,
        "read-only": read_only,
        "memory map": lambda X: memory_mapped(X, tmp_path),
        "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        "pandas": pd.DataFrame,
        "polars": lambda X: pl.DataFrame(X, schema=[f"x{i}" for i in range(64)]),
        "list": lambda X: X.tolist(),
        "csr_array": sparse.csr_array,
        "csc_array": sparse.csc_array,
        "csr_matrix": sparse.csr_matrix,
    }
    other = containers[kind](X)
    expected = AutoencoderTransformer(8, random_state=0).fit(X)
    actual = AutoencoderTransformer(8, random_state=0).fit(other)
    # Sums of the PCA start round differently over columns than over rows.
    tolerance = 1e-3 if kind in ("F", "strided") else 1e-4
    assert_allclose(actual.transform(other), expected.transform(X), atol=tolerance)
    assert_allclose(expected.transform(other), expected.transform(X), atol=1e-5)
    if sparse.issparse(other):
        other = other.toarray()
    assert_array_equal(np.asarray(other, dtype=np.float32), X)


def test_more_components_than_rank():
    """The units beyond the rank are kept, warned of, and explain nothing."""
    X = np.random.default_rng(0).normal(size=(50, 3))
    with pytest.warns(UserWarning, match="n_components=5 is more than min.*=3"):
        estimator = AutoencoderTransformer(5, random_state=0).fit(X)
    assert estimator.transform(X).shape == (50, 5)
    assert np.ptp(estimator.transform(X), axis=0).min() > 0
    assert estimator.score(X) > 1 - 1e-12


@pytest.mark.parametrize("X", [np.ones((1, 4)), np.ones((20, 4)), np.arange(8.0).reshape(2, 4)])
def test_degenerate_data(X):
    """One row, constant columns, two rows: nothing to learn is learnt without complaint."""
    estimator = AutoencoderTransformer(1, random_state=0).fit(X)
    assert_allclose(estimator.reconstruct(X), X, atol=1e-6)


def test_random_states(digits):
    """An int repeats a fit to the bit; another one, or a generator that moved on, does not."""
    X = digits[:300]
    codes = [
        AutoencoderTransformer(4, init="glorot_uniform", epochs=3, random_state=state)
        .fit(X)
        .transform(X)
        for state in (0, 0, 1, None)
    ]
    assert_array_equal(codes[0], codes[1])
    assert not np.allclose(codes[0], codes[2])
    assert not np.allclose(codes[0], codes[3])


def test_verbose_prints_a_line_for_each_epoch(digits, capsys):
    AutoencoderTransformer(4, epochs=3, early_stopping=False, random_state=0).fit(digits)
    assert capsys.readouterr().out == ""
    AutoencoderTransformer(
        4, epochs=3, early_stopping=False, verbose=1, output_activation="linear", random_state=0
    ).fit(digits)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"[AutoencoderTransformer] epoch {epoch}" for epoch in (1, 2, 3)
    ]


def test_verbose_prints_the_validation_loss(digits, capsys):
    settings = {"epochs": 1, "early_stopping": False, "random_state": 0}
    estimator = AutoencoderTransformer(4, verbose=1, **settings).fit(digits, X_val=digits[:100])
    loss = f"validation loss {estimator.validation_loss_curve_[-1]:.6g}\n"
    assert capsys.readouterr().out.endswith(loss)


def test_one_row_to_validate_on_says_nothing(digits):
    """PCA is kept, since the gain on a single row has no standard error."""
    settings = {"hidden_layer_sizes": (16,), "output_activation": "linear", "random_state": 0}
    estimator = AutoencoderTransformer(4, **settings).fit(digits, X_val=digits[:1])
    assert estimator.n_iter_ == 0
    assert estimator.set_params(early_stopping=False).fit(digits).n_iter_ > 0


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_that_is_allowed_is_one_of_keras(name):
    assert isinstance(keras.optimizers.get(name), keras.optimizers.Optimizer)
