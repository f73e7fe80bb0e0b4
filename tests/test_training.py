"""Test where training starts and ends, and which weights are kept."""

import itertools

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer
from skae._data.rows import Rows
from skae._fitting.trials import clear_gain
from skae._parameters import OPTIMIZERS


@pytest.fixture(scope="module")
def digits():
    return (load_digits().data / 16).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(digits):
    return AutoencoderTransformer(8, random_state=0).fit(digits)


def error(estimator, X):
    return np.mean((X - estimator.inverse_transform(estimator.transform(X))) ** 2)


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


def test_linear_problem_is_pca():
    """A sigmoid gains nothing on standardized tables, so codes and reconstructions are PCA's."""
    X = StandardScaler().fit_transform(load_iris().data)
    linear = AutoencoderTransformer(2, hidden_layer_sizes=(), random_state=0)
    ours, pca = linear.fit(X), PCA(2).fit(X)
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
    """Images in [0, 1] get a sigmoid, but a linear table scaled to [0, 1] does not."""
    settings = {"hidden_layer_sizes": (), "random_state": 0}
    fitted = AutoencoderTransformer(8, **settings).fit(digits)
    assert fitted.network_["output_activation"] == "sigmoid"
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 20))
    X = (X - X.min()) / (X.max() - X.min())
    fitted = AutoencoderTransformer(4, **settings).fit(X)
    assert fitted.network_["output_activation"] == "linear"
    assert fitted.score(X) > 1 - 1e-12


@pytest.mark.parametrize("loss", ["mae", "huber", "binary_crossentropy", "poisson"])
def test_losses_train(digits, loss):
    """Every loss falls, and its "auto" output suits it."""
    fitted = AutoencoderTransformer(
        8, loss=loss, epochs=5, early_stopping=False, random_state=0
    ).fit(digits)
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]
    suits = {"binary_crossentropy": "sigmoid", "poisson": "squareplus"}
    if loss in suits:
        assert fitted.network_["output_activation"] == suits[loss]


def test_configurations_of_keras_are_used(digits):
    """Dicts reach Keras: a tiny Huber delta makes the loss linear, and decay shrinks weights."""
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
    """A configuration without options gives the same bits as the name of the loss."""
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
        4, hidden_layer_sizes=(), optimizer=optimizer, learning_rate=1e-3, epochs=2, random_state=0
    )
    first = estimator.fit(digits).weights_
    for one, other in zip(first, estimator.fit(digits).weights_, strict=True):
        assert_array_equal(one, other)


CONFIGURED = [
    {"class_name": "AdamW", "config": {"weight_decay": 0.1}},
    {"class_name": "SGD", "config": {"momentum": 0.9, "global_clipnorm": 0.1}},
    {"class_name": "SGD", "config": {"clipnorm": 0.1}},  # this clips each array, so they stay apart
]


@pytest.mark.parametrize(
    ("optimizer", "hidden_layer_sizes"),
    [
        *itertools.product(["adam", "sgd", "lion", *CONFIGURED[:2]], [(), (8,)]),
        ("adafactor", ()),
        (CONFIGURED[2], ()),
    ],
)
def test_variables_in_one_are_trained_as_they_are_apart(
    digits, optimizer, hidden_layer_sizes, monkeypatch
):
    """Each weight takes the same steps in a joined variable as in an array of its own.

    This holds if arrays are joined by rows or by columns, however their gradients are put together.
    """
    from skae._keras import training, variables

    if hidden_layer_sizes:  # as for a network of many weights
        monkeypatch.setattr(variables, "CONCATENATED_BYTES", 0)

    def fit():
        monkeypatch.setattr(training, "_programs", training.Cache(32))
        estimator = AutoencoderTransformer(
            4, hidden_layer_sizes=hidden_layer_sizes, kl_weight=0.1, optimizer=optimizer,
            learning_rate=1e-3, epochs=3, early_stopping=False, random_state=0,
        ).fit(digits.astype(np.float64))  # fmt: skip
        return type(next(iter(training._programs.values()))._trained), estimator.weights_

    kind, joined = fit()
    monkeypatch.setattr(variables, "ELEMENTWISE", set())
    always, separate = fit()
    assert always is variables.Separate
    apart = "adafactor" in optimizer or "clipnorm" in str(optimizer).replace("global_clipnorm", "")
    assert kind is (variables.Separate if apart else variables.Joined)
    for ours, theirs in zip(joined, separate, strict=True):
        assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def test_numbers_of_components_up_to_a_multiple_share_a_program(digits, monkeypatch):
    """They do where that saves time, and each fit ends as in a program of its own."""
    from skae._keras import training

    def fit(n_components, **settings):
        settings = {"output_activation": "sigmoid", "epochs": 3, **settings}
        estimator = AutoencoderTransformer(
            n_components, early_stopping=False, random_state=0, **settings
        )
        return estimator.fit(digits.astype(np.float64)).weights_

    def n_programs():
        return len(set(map(id, training._programs.values())))

    for settings in ({}, {"hidden_layer_sizes": (8,)}, {"sparsity": 0.1}):
        monkeypatch.setattr(training, "_programs", training.Cache(32))
        shared = [fit(n, **settings) for n in (3, 16)]
        assert n_programs() == 1
        with monkeypatch.context() as patch:
            patch.setattr(training, "QUICK", 0)
            exact = [fit(n, **settings) for n in (3, 16)]
        assert n_programs() == 2
        for ours, theirs in zip(itertools.chain(*shared), itertools.chain(*exact), strict=True):
            assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "settings",
    [{"kl_weight": 0.1}, {"code_activation": "sigmoid"}, {"optimizer": "adafactor"}],
    ids=lambda settings: next(iter(settings)),
)
def test_programs_are_not_shared_where_more_components_would_tell(digits, settings, monkeypatch):
    from skae._keras import training

    monkeypatch.setattr(training, "_programs", training.Cache(32))
    settings = {"output_activation": "sigmoid", "epochs": 1, **settings}
    for n_components in (3, 5):
        AutoencoderTransformer(n_components, early_stopping=False, **settings).fit(digits)
    assert len(set(map(id, training._programs.values()))) == 2


@pytest.mark.parametrize("kind", ["Adam", "RMSprop"])
def test_optimizers_that_divide_by_what_is_zero_get_no_zeros_to_train(digits, kind):
    optimizer = {"class_name": kind, "config": {"epsilon": 0.0}}
    X = np.random.default_rng(0).uniform(0.1, 0.9, (200, 6))
    settings = {"output_activation": "sigmoid", "epochs": 2, "early_stopping": False}
    estimator = AutoencoderTransformer(3, optimizer=optimizer, random_state=0, **settings).fit(X)
    assert np.isfinite(estimator.score(X))


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_that_is_allowed_is_one_of_keras(name):
    assert isinstance(keras.optimizers.get(name), keras.optimizers.Optimizer)


def test_warm_start_continues(digits):
    """More epochs go on from the fitted weights, and are appended to the curves."""
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
    """The weights that are kept have the lowest loss on X_val in the curve."""
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


@pytest.mark.parametrize("n_rows", [1, 2])
def test_two_rows_to_validate_on_say_nothing(digits, n_rows):
    """PCA is kept, since the gain on so few rows has no standard error worth the name."""
    settings = {"hidden_layer_sizes": (16,), "output_activation": "linear", "random_state": 0}
    with pytest.warns(UserWarning, match=r"PCA is kept, since .*\(16,\).* times PCA's"):
        estimator = AutoencoderTransformer(4, **settings).fit(digits, X_val=digits[:n_rows])
    assert (estimator.n_iter_, estimator.gain_over_pca_) == (0, 0.0)
    assert estimator.set_params(early_stopping=False).fit(digits).n_iter_ > 0


def test_weights_move_the_fit_to_the_heavy_rows(digits):
    """Rows with most of the weight are reconstructed better than without it."""
    X, weights = digits[:400], np.ones(400)
    weights[:40] = 100
    settings = {"epochs": 30, "early_stopping": False, "random_state": 0}
    plain = AutoencoderTransformer(4, **settings).fit(X)
    weighted = AutoencoderTransformer(4, **settings).fit(X, sample_weight=weights)
    assert error(weighted, X[:40]) < 0.9 * error(plain, X[:40])


@pytest.mark.parametrize("share", [1e-3, 0.5])
def test_weights_that_are_shares_are_no_small_counts(digits, share):
    """They must not make the data count as fewer rows."""
    X = digits[:400]
    fit = AutoencoderTransformer(4, random_state=0).fit
    for ours, theirs in zip(
        fit(X, sample_weight=np.full(400, share)).weights_, fit(X).weights_, strict=True
    ):
        assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("values", [(0, 1), (0, 2), (-2, 2), (0, 1e300)])
def test_rows_that_differ_are_not_held_out_as_copies(dtype, values):
    """Most bits of small integers are zero, but different rows need different hashes."""
    values = np.array(values).clip(None, np.finfo(dtype).max).astype(dtype)
    X = np.random.default_rng(0).choice(values, size=(5_000, 64))
    ((training, held, missed),) = Rows(X).splits(0.1, 1, np.random.default_rng(0))
    assert (len(training), len(held), missed) == (4_500, 500, False)


def test_rows_of_weight_zero_are_not_there(digits):
    weights = np.ones(400)
    weights[200:] = 0
    with_zeros = AutoencoderTransformer(4, random_state=0).fit(digits[:400], sample_weight=weights)
    without = AutoencoderTransformer(4, random_state=0).fit(digits[:200])
    assert_allclose(with_zeros.transform(digits), without.transform(digits), atol=1e-4)


def test_verbose_prints_a_line_for_each_epoch(digits, capsys):
    AutoencoderTransformer(4, epochs=3, early_stopping=False, random_state=0).fit(digits)
    assert capsys.readouterr().out == ""
    AutoencoderTransformer(
        4, epochs=3, early_stopping=False, verbose=2, output_activation="linear", random_state=0
    ).fit(digits)
    *lines, seen, kept = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"[AutoencoderTransformer] training, epoch {epoch}" for epoch in (1, 2, 3)
    ]
    assert f"trained on {3 * len(digits):,} rows" in seen
    assert kept == "[AutoencoderTransformer] kept the network after 3 epochs"


def test_verbose_prints_the_validation_loss(digits, capsys):
    settings = {"epochs": 1, "early_stopping": False, "random_state": 0}
    estimator = AutoencoderTransformer(4, verbose=2, **settings).fit(digits, X_val=digits[:100])
    loss = f"validation loss {estimator.validation_loss_curve_[-1]:.6g}\n"
    assert loss in capsys.readouterr().out


def test_verbose_names_the_runs_and_what_is_kept(digits, capsys):
    """Each line says which run it is from, and the last one what was kept and why."""
    settings = {"hidden_layer_sizes": (16,), "verbose": 2, "random_state": 0}
    estimator = AutoencoderTransformer(4, **settings).fit(digits[:200])
    lines = capsys.readouterr().out.splitlines()
    runs = ("pilot with output_activation", "turn 1 of at most 5, epoch", "all rows, epoch")
    assert all(any(run in line for line in lines) for run in runs)
    ratio = f"{1 - estimator.gain_over_pca_:.3g} times PCA's"
    assert lines[-1].startswith("[AutoencoderTransformer] kept the network")
    assert lines[-1].endswith(ratio)


def test_the_curves_are_of_the_same_runs(digits):
    """The validation losses name their epochs, and are near the training losses of these."""
    fit = AutoencoderTransformer(4, hidden_layer_sizes=(16,), random_state=0).fit
    for X in (digits[:200], digits):
        estimator = fit(X)
        epochs = estimator.validation_epochs_
        assert len(epochs) == len(estimator.validation_loss_curve_) <= 25
        assert epochs[-1] == estimator.n_iter_ == len(estimator.loss_curve_)
        of_training = np.array(estimator.loss_curve_)[np.array(epochs) - 1]
        ratios = np.array(estimator.validation_loss_curve_) / of_training
        assert ratios.min() > 0.8
        assert ratios.max() < 2


def test_the_gain_over_pca_is_that_of_unseen_rows(digits):
    train, test = train_test_split(digits, random_state=0)
    estimator = AutoencoderTransformer(4, hidden_layer_sizes=(64,), random_state=0).fit(train)
    pca = PCA(4).fit(train)
    by_pca = np.square(pca.inverse_transform(pca.transform(test)) - test).mean()
    assert estimator.gain_over_pca_ == pytest.approx(1 - error(estimator, test) / by_pca, abs=0.1)
    assert AutoencoderTransformer(4).fit(train).gain_over_pca_ >= 0
    random = AutoencoderTransformer(4, init="glorot_uniform", random_state=0).fit(train)
    assert random.gain_over_pca_ is None


def test_the_last_epoch_may_be_cut_short(digits):
    """With "auto", steps are counted. The loss of a partial epoch is a mean like the others."""
    X = np.tile(digits, (8, 1))[:14_080]
    settings = {"early_stopping": False, "random_state": 0, "output_activation": "sigmoid"}
    estimator = AutoencoderTransformer(4, **settings).fit(X)  # 550 steps, 110 per epoch
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 5
    shorter = AutoencoderTransformer(4, **settings).fit(X[:12_800])  # 100 steps per epoch
    assert shorter.n_iter_ == 6
    assert shorter.loss_curve_[-1] == pytest.approx(shorter.loss_curve_[-2], rel=0.05)
    assert shorter.loss_curve_[-1] == pytest.approx(error(shorter, X[:12_800]), rel=0.05)


def test_what_training_starts_from_is_kept_where_it_is_the_best(digits):
    """At this rate every step does harm, but the decoder fitted before improves on PCA."""
    settings = {"output_activation": "sigmoid", "random_state": 0}
    estimator = AutoencoderTransformer(8, learning_rate=10.0, epochs=2, **settings).fit(digits)
    assert estimator.n_iter_ == 0
    assert estimator.network_["output_activation"] == "sigmoid"
    pca = PCA(8).fit(digits)
    of_pca = np.mean((pca.inverse_transform(pca.transform(digits)) - digits) ** 2)
    assert error(estimator, digits) < 0.95 * of_pca


@pytest.mark.parametrize(
    ("gain", "expected"), [(np.inf, np.inf), (-np.inf, 0), (np.nan, 0), (0.5, 0.3)]
)
def test_a_start_that_overflows_loses_and_a_network_that_does_so_too(gain, expected):
    gains = np.array([0.2, 0.2, gain, 0.3])
    comparison = gains, np.ones(4), 2 * np.ones(4), np.ones(4)
    assert clear_gain([comparison], last=True) == pytest.approx(expected)
