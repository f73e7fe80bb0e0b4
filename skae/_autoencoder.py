"""The estimator: what users see of skae."""

import contextlib
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skae._dask import lazy
from skae._data.checks import check_rows
from skae._data.filling import filled, filling_of
from skae._data.reading import read, read_codes, training_rows, validation_rows
from skae._files.state import State
from skae._files.storage import write
from skae._fitting.candidates import Split
from skae._fitting.fit import fit
from skae._fitting.incomplete import without_holes
from skae._fitting.progress import Progress
from skae._fitting.resolve import resolve
from skae._framework import load_framework
from skae._network import inference
from skae._network.losses import needs_positive
from skae._parameters import CONSTRAINTS, generates
from skae._reconstruction import ReconstructionMixin
from skae._rollback import merged, twin
from skae._scikit_learn import (
    CallbackSupportMixin,
    available_if,
    fit_context,
    fit_task,
    in_container,
    requested_metadata,
    seed_of,
    visual_block,
    warn_of_version,
)
from skae._storage import StorageMixin
from skae._streaming import StreamingMixin
from skae._version import __version__

# What a fit sees of X besides its values.
SEEN = ("n_features_in_", "feature_names_in_", "_filling")


class AutoencoderTransformer(
    CallbackSupportMixin,
    ReconstructionMixin,
    StreamingMixin,
    StorageMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Nonlinear dimensionality reduction with a Keras autoencoder.

    A network learns to reproduce its input through a narrow layer of `n_components` units, the
    code. :meth:`transform` encodes and :meth:`inverse_transform` decodes, so the estimator can
    replace :class:`~sklearn.decomposition.PCA` in a :class:`~sklearn.pipeline.Pipeline`.

    By default a network with one hidden layer starts as PCA, and rows are held out to see whether
    training improves on PCA. PCA is kept unless the improvement is clear: more than 1 %, and more
    than two to four standard errors.

    Parameters
    ----------
    n_components : int, float or None, default=32
        Number of units of the code. `fit` warns if it exceeds `min(n_samples, n_features)`. With a
        float between 0 and 1, it is the smallest number with which rows held out keep this fraction
        of their variance: PCA's number, or fewer if a network needs fewer, which takes up to six
        more trainings. None stands for the rank of the training rows.

    hidden_layer_sizes : "auto", int or array-like of int, default="auto"
        Widths of the hidden layers of the encoder [1]_; the decoder mirrors them. They are numbers
        of filters with `image_shape`, and add to a linear map with ``init="pca"``. "auto" is
        (128,) for 50 rows or more with up to 1,024 columns, if PCA may be kept instead and if
        there is no noise, penalty or `network`. It is (), no hidden layers, otherwise and where
        PCA is kept.

    activation : str, default="relu"
        Activation of the hidden layers: "elu", "exponential", "gelu", "hard_sigmoid",
        "leaky_relu", "linear", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softplus",
        "softsign", "squareplus" or "tanh", in any of Keras' spellings.

    code_activation : str, default="auto"
        Activation of the code. "auto" is "relu" with `sparsity` or ``init="glorot_uniform"``, and
        "linear" otherwise. The components of a linear code are uncorrelated on the training rows,
        and ordered by the variance of the reconstruction that a linear regression on each of them
        explains: PCA's order without hidden layers. Other codes have no order.

    output_activation : str, default="auto"
        Activation of the output. "auto" is "squareplus" for the Poisson loss, in units of 0.05 of
        the mean of X, "sigmoid" for X in [0, 1] if that describes it better, and else "linear", as
        for sparse X with more than 1,024 columns.

    noise : float, tuple, callable or None, default=None
        Corruption of the training rows, from which the network learns to restore them [2]_: the
        fraction of entries to set to zero, or ``("masking", fraction)``,
        ``("gaussian", standard_deviation)``, ``("salt_and_pepper", fraction)`` for the smallest or
        largest value of X, ``("swap", fraction)`` for that of another row [3]_, or a callable
        ``(batch, rng) -> batch`` that takes dense rows and a :class:`numpy.random.Generator`.

    sparsity : float, default=0.0
        Weight of an L1 penalty on the code: the sum of its absolute values [4]_.

    kl_weight : float, default=0.0
        Weight of the divergence of a variational code [5]_ from the standard normal distribution.
        1 makes the loss an evidence lower bound, in which "mse" and "mae" have the noise that PCA
        leaves [6]_; it is divided by `n_features` for losses that are no likelihoods.
        :meth:`transform` returns the mean of the code.

    label_weight : float, default=0.0
        Above 0, `fit(X, y)` adds the loss of predicting `y` from the code through a linear layer
        [9]_, so that the code serves the classifier or regressor behind it. With 1 a constant
        prediction of `y` costs as much as a constant reconstruction of X, times the square root
        of the fraction of rows with a label. Floats in `y` are numbers to predict, in one column
        or several; integer columns of zeros and ones are multilabel indicators; everything else
        is a class.

    missing_label : object, default=None
        Value in `y` of rows without a label, such as -1. NaN and None always mean that.

    image_shape : (height, width) or (height, width, channels) or None, default=None
        Shape of the image in each row, flattened in C order. The hidden layers are then 3 x 3
        convolutions with a stride of 2, which need Keras to transform and to decode.

    network : callable or None, default=None
        Function that takes a description with `n_features`, `n_components` and `dtype`, and
        returns two Keras models, (encoder, decoder). Training starts from their weights, so seed
        random initializers. Models that are not new at each call are trained themselves. Batches
        may be filled up with copies, which BatchNormalization sees. The function is pickled by
        reference, and the network needs Keras to transform and to decode.

    loss : str or dict, default="mse"
        Loss to minimize: "mse", "mae", "mape", "huber", "log_cosh" or "cosine_similarity"; "msle"
        or "poisson" for X from 0 on; "binary_crossentropy", "binary_focal_crossentropy",
        "categorical_crossentropy" or "kl_divergence" for X in [0, 1]; or the configuration of a
        Keras loss, such as ``{"class_name": "Huber", "config": {"delta": 0.1}}``.

    optimizer : str or dict, default="adam"
        Keras' name of the optimizer or its configuration, such as
        ``{"class_name": "AdamW", "config": {"weight_decay": 1e-4}}``. "adam" has a `beta_2` of
        0.99 or 0.95 with the one-cycle rate.

    learning_rate : "one_cycle" or float, default="one_cycle"
        "one_cycle" rises linearly and falls to zero as half a cosine [7]_. Its peak is the rate in
        the configuration of the optimizer, or else 2e-2, 3e-3 with hidden layers, or 3e-2 near
        the optimum: from PCA, with a sigmoid output, no hidden layers and no penalty. Hidden layers
        that start from PCA have 1.5e-3 to 1.5e-2 on fewer than 10,000 rows, the more rows for each
        column, the higher. A float is a constant rate, which takes precedence over the
        configuration.

    init : {"pca", "glorot_uniform"}, default="pca"
        Where training starts: PCA, the optimum of a linear autoencoder [8]_, or random weights.

    epochs : "auto" or int, default="auto"
        Passes over the training rows. "auto" is from 1 to 500 passes, as many as make 1,400
        optimizer steps with hidden layers or 1,000 without; at most 200 with labels; 10 near the
        optimum; 0 at it. Hidden layers that start from PCA make 3,000 steps and at most 100 passes
        on fewer than 10,000 rows. From 2,000 rows on they make twice as many steps again, and from
        10,000 on up to three times, as long as this lowers the validation loss by 2 %, and as long
        as all steps together multiply fewer than 4e10 weights, which takes some five seconds.

    batch_size : "auto" or int, default="auto"
        Rows per optimizer step. "auto" is 96; 32 for hidden layers that start from PCA, on fewer
        than 10,000 rows; 64 or 128 near the optimum.

    shuffle : bool, default=True
        Whether to train on the rows in another order in each epoch. Rows in storage are shuffled in
        windows of 16 MB. Without shuffling, rows in memory and in storage give the same network.

    early_stopping : bool, default=True
        Whether to hold out rows, unless `X_val` is given, and to keep the weights with the lowest
        validation loss, or PCA if that is no worse. A small X is held out in up to five turns,
        then trained on as a whole. Without `X_val`, hidden layers that start from PCA keep the
        last weights with ``epochs="auto"``, since no others are better at the end of a cycle.
        Nothing is held out for PCA alone.

    validation_fraction : float, default=0.1
        Fraction of the rows to hold out, by weight, and no more than 2,000 rows. Copies of a row
        are never separated.

    n_iter_no_change : int, default=10
        Epochs without improvement after which training with a constant rate stops early.

    tol : float, default=1e-4
        Relative decrease of the validation loss that counts as an improvement.

    warm_start : bool, default=False
        Whether `fit` continues from the weights of the previous call, with a new optimizer.

    verbose : int or bool, default=0
        With 1, a line says what is being computed, after how many epochs, with which losses and for
        how long still. With 2, a line is printed for each validation, or each epoch if there is
        none. Both say in the end what was kept.

    random_state : int, RandomState instance or None, default=None
        Seed of random weights, the shuffle and the rows held out. An int gives the same bits with
        the same number of threads.

    Attributes
    ----------
    weights_ : list of ndarray
        Kernel and bias of each layer, the encoder's first. A linear shortcut follows the layers of
        its half; the log-variance of a variational code comes last.

    network_ : dict
        Description of the network.

    head_ : list of ndarray
        Kernel and bias of the linear layer that predicts `y` from the code, with `label_weight`.

    classes_ : ndarray of shape (n_classes,)
        Classes in the order of the outputs of that layer, if `y` has classes.

    n_iter_ : int
        Number of epochs that led to `weights_`; 0 if training did not improve on its start.

    loss_curve_ : list of float
        Training loss of each of these epochs.

    validation_loss_curve_ : list of float
        Validation losses, with noise and penalties as in training, after each epoch or at most
        25 times with ``epochs="auto"``. Empty if no rows are held out. If a small X is held out in
        turns, both curves are means over the turns.

    validation_epochs_ : list of int
        Number of epochs after which each of these losses was taken.

    gain_over_pca_ : float or None
        Fraction by which the network has a lower loss than PCA on rows held out, 0.0 if PCA is
        kept, or None if the two were not compared.

    explained_variance_ratio_ : ndarray of shape (`n_components_`,)
        Fraction of the variance of the training rows that a regression of the reconstruction on
        each component explains, for linear codes. They fall without `label_weight`, and their sum
        is :meth:`score` on the training rows: on all of them if PCA is kept, and else on 2,500 at
        most. Other codes have no such attribute.

    feature_errors_ : ndarray of shape (`n_features_in_`,)
        Mean squared error of each feature on these rows, where it is known, in squared units of X.

    n_components_ : int
        Number of components of the code, which is smaller than `n_components` if the rows have
        fewer dimensions and training starts from PCA without noise or penalties.

    n_samples_seen_ : int
        Number of rows that :meth:`partial_fit` has trained on. Estimators that were fitted as a
        whole have no such attribute.

    n_features_in_ : int
        Number of features seen during :meth:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :meth:`fit`, if all are strings.

    See Also
    --------
    sklearn.decomposition.PCA : Linear dimensionality reduction.

    Notes
    -----
    Fitted estimators hold arrays and no Keras objects. TensorFlow is imported at the first
    training, and is not needed to unpickle, transform or decode with dense layers. The first `fit`
    of each network, batch size, loss and optimizer takes 0.4 s and 5 MB to compile it, or 1 s
    with three hidden layers. Sample weights equal copies exactly if all rows fit into one batch.

    If X has missing values, the loss counts known entries only. A factor analysis of X [10]_ fills
    the others with what the known entries of the row let one expect, in :meth:`fit` as in
    :meth:`transform`. In training a fifth of the known entries are hidden and filled too, and count
    in the loss, so that the network learns to restore them, and PCA is kept unless the network
    restores them better. What it makes of missing entries is what :meth:`impute` returns. Losses
    are means over all entries, of which those that are missing are zero. Rows without any value are
    left out. An estimator that was fitted to complete rows refuses missing values.

    Callbacks of scikit-learn 1.9, such as ``set_callbacks(ProgressBar())``, see a task for each
    training run and for each validation. They may end the training, which keeps the best weights so
    far. Keras' callbacks are not taken, since one fit trains several networks in a loop of its own.

    Where X has more columns than rows, or more than 1,024, a network with squared error and a
    linear output is trained on principal scores, and the axes are folded into its first and last
    layers. This is exact for a dense X of up to 1,024 rows, which lie in the span of the axes.
    Otherwise the leading 256 scores are used, or 8 times `n_components`; what they leave of a row
    is part of all losses. With another loss or output, noise, penalties or a warm start, training
    uses the columns as they are.

    References
    ----------
    .. [1] G. Hinton and R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural
       Networks", Science 313, 2006.
    .. [2] P. Vincent et al., "Extracting and Composing Robust Features with Denoising
       Autoencoders", ICML 2008.
    .. [3] J. Yoon et al., "VIME: Extending the Success of Self- and Semi-supervised Learning to
       Tabular Domain", NeurIPS 2020.
    .. [4] A. Ng, "Sparse autoencoder", CS294A lecture notes, 2011.
    .. [5] D. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
    .. [6] M. Tipping and C. Bishop, "Probabilistic Principal Component Analysis", Journal of the
       Royal Statistical Society B 61, 1999.
    .. [7] L. N. Smith and N. Topin, "Super-Convergence: Very Fast Training of Neural Networks
       Using Large Learning Rates", 2018, arXiv:1708.07120.
    .. [8] P. Baldi and K. Hornik, "Neural networks and principal component analysis: Learning
       from examples without local minima", Neural Networks 2, 1989.
    .. [9] L. Le, A. Patterson and M. White, "Supervised autoencoders: Improving generalization
       performance with unsupervised regularizers", NeurIPS 2018.
    .. [10] A. Ilin and T. Raiko, "Practical approaches to principal component analysis in the
       presence of missing values", Journal of Machine Learning Research 11, 2010.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from skae import AutoencoderTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(16, random_state=0)
    >>> pipe = make_pipeline(MinMaxScaler(), autoencoder, LogisticRegression(max_iter=1000))
    >>> pipe.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.9
    True
    """

    _parameter_constraints = CONSTRAINTS
    # An address such as "https://HOME/{estimator_module}.{estimator_name}.html" makes scikit-learn
    # show what the parameters mean in a notebook. There is no home yet.
    _doc_link_module, _doc_link_template = "skae", ""

    def __init__(
        self,
        n_components=32,
        *,
        hidden_layer_sizes="auto",
        activation="relu",
        code_activation="auto",
        output_activation="auto",
        noise=None,
        sparsity=0.0,
        kl_weight=0.0,
        label_weight=0.0,
        missing_label=None,
        image_shape=None,
        network=None,
        loss="mse",
        optimizer="adam",
        learning_rate="one_cycle",
        init="pca",
        epochs="auto",
        batch_size="auto",
        shuffle=True,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        verbose=0,
        random_state=None,
    ) -> None:
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.code_activation = code_activation
        self.output_activation = output_activation
        self.noise = noise
        self.sparsity = sparsity
        self.kl_weight = kl_weight
        self.label_weight = label_weight
        self.missing_label = missing_label
        self.image_shape = image_shape
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.init = init
        self.epochs = epochs
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, sample_weight=None, X_val=None, y_val=None) -> Self:
        """Train the network to reconstruct X.

        If this fails or is interrupted, the estimator stays as it was.

        Parameters
        ----------
        X : {array-like, sparse matrix, rows in storage} of shape (n_samples, n_features)
            Training data. Memory maps, HDF5 datasets, zarr arrays, paths of Parquet files, pyarrow
            datasets, Dask collections, and objects that yield blocks of rows as often as they are
            iterated over are read in blocks of bounded memory. If there is a Dask client, the
            workers of its cluster train on Dask collections. Computations use float32 if that holds
            every value of the dtypes (float16, float32, bool, integers of 8 and 16 bits), and
            float64 otherwise. Missing values are NaN, or what the library of a frame has for them;
            sparse X has none.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Labels, which are ignored without `label_weight`.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, as numbers of copies. If those above zero have a mean below 1,
            they are scaled to a mean of 1.

        X_val : {array-like, sparse matrix} of shape (n_val_samples, n_features), default=None
            Rows whose loss is recorded in `validation_loss_curve_` and, with early stopping,
            chooses the weights. For a Pipeline to transform them too, enable metadata routing and
            use ``Pipeline(steps, transform_input=["X_val"])`` and ``set_fit_request(X_val=True)``.

        y_val : array-like of shape (n_val_samples,) or (n_val_samples, n_outputs), default=None
            Labels of these rows, needed with `label_weight`.

        Returns
        -------
        self : AutoencoderTransformer
            The fitted estimator.
        """
        # All changes happen to a copy, and are taken over at once when everything has succeeded.
        before, fitted = self.__dict__.copy(), twin(self)
        task = fit_task(self, X, y, sample_weight)
        with contextlib.closing(Progress(self.verbose, task)) as progress:
            fitted._fit(X, y, sample_weight, (X_val, y_val), progress)
        after = merged(before, self.__dict__, fitted.__dict__)
        if task is not None:
            task.end(after)
        self.__dict__ = after
        return self

    def transform(self, X) -> np.ndarray:
        """Encode rows.

        Parameters
        ----------
        X : {array-like, sparse matrix, rows in storage} of shape (n_samples, n_features)
            Rows to encode, as in :meth:`fit`. Missing values are filled if there were any there.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_components)
            Their codes. Those of a Dask collection are one too, which is computed later.
        """
        spec = self._spec()
        # Looking for NaN in X takes as long as encoding it. In a linear code every NaN shows, so
        # only then X is searched, for the error message.
        linear = spec.shortcut or (spec.dense and not spec.hidden_layer_sizes)
        shows = linear and spec.code_activation == "linear" and filling_of(self) is None
        checked = filled(self, read(self, X, ensure_all_finite=not shows))
        with np.errstate(invalid="ignore", over="ignore"):
            codes = inference.encode(spec, self.weights_, checked)
        if shows and not np.isfinite(codes).all():
            read(self, X)
        return codes

    def inverse_transform(self, X) -> np.ndarray:
        """Decode codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, as :meth:`transform` returns them.

        Returns
        -------
        X_original : ndarray or DataFrame of shape (n_samples, n_features)
            Rows decoded from them, in the container that :meth:`set_output` asks for.
        """
        spec = self._spec()
        codes = read_codes(self, X, spec.n_components)
        return in_container(self, inference.decode(spec, self.weights_, codes), X)

    def to_keras(self) -> tuple[Any, Any, Any]:
        """Build Keras models with the fitted weights. This imports TensorFlow.

        Returns
        -------
        encoder, decoder, autoencoder : keras.Model
            Models from rows to codes, from codes to rows, and the two in sequence. They share
            their weights with each other, and not with this estimator. They fill no missing values.
        """
        spec = self._spec()
        load_framework()
        from skae._keras.networks import build

        return build(spec, self.weights_)[:3]

    def save(self, path) -> None:
        """Write the fitted estimator to a file, which :func:`skae.load` reads.

        The file is in the safetensors format, without callbacks of scikit-learn. It holds the state
        of the optimizer if the last training was that of :meth:`partial_fit`. An existing file
        is replaced when the new one is complete, and stays as it was if that fails.

        Parameters
        ----------
        path : str or path-like
            Path of the file.

        Raises
        ------
        ValueError
            If the estimator holds what a file can't: a callable or a RandomState among its
            parameters, attributes of others, or parameters that `fit` would refuse.
        """
        check_is_fitted(self)
        if type(self) is not AutoencoderTransformer:
            raise ValueError(
                f"save writes an AutoencoderTransformer, and this is a {type(self).__name__}, "
                "which would come back as something else. Pickle it."
            )
        output = getattr(self, "_sklearn_output_config", {}).get("transform")
        write(State(self.__dict__, output, requested_metadata(self)), path)

    @available_if(generates)
    def sample(self, n_samples=1, random_state=None) -> np.ndarray:
        """Decode codes drawn from the standard normal distribution, where ``kl_weight > 0``.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows to generate.

        random_state : int, RandomState instance or None, default=None
            Determines the codes.

        Returns
        -------
        X : ndarray or DataFrame of shape (n_samples, n_features)
            Rows like the training data, in the container that :meth:`set_output` asks for.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be an int in the range [1, inf). Got {n_samples!r}.")
        spec = self._spec()
        rng = np.random.default_rng() if random_state is None else check_random_state(random_state)
        codes = rng.standard_normal((n_samples, spec.n_components)).astype(spec.dtype)
        return in_container(self, inference.decode(spec, self.weights_, codes), codes)

    @property
    def _n_features_out(self):
        return self.n_components_

    def _fit(self, X, y, sample_weight, held_out, progress):
        """Fit this copy of the estimator."""
        warm = self.warm_start and hasattr(self, "weights_")
        rows, labels = training_rows(self, X, y, sample_weight, reset=not warm)
        rows, filling = without_holes(rows)
        self.__dict__.pop("_filling", None)
        if filling is not None:
            self._filling = list(filling)
        head = None if labels is None else labels.head
        candidate = resolve(self, rows, self.network_ if warm else None, head)
        candidate = candidate.with_settings(seed=seed_of(self), progress=progress, filling=filling)
        X_val, y_val = held_out
        held = None
        if X_val is not None:
            held = validation_rows(self, X_val, y_val, rows.dtype, labels, filling)
        check_rows(self.loss, rows, held)
        previous = self._weights_to_continue(labels) if warm else None
        given = {name: value for name, value in vars(self).items() if name in SEEN}
        progress.attributes = lambda result: given | self._found(result, labels, warm)
        result, found = fit(candidate, Split(rows, held), previous)
        found_now = self._found(result, labels, warm)
        for name in ("head_", "classes_", "_stream", "n_samples_seen_"):
            self.__dict__.pop(name, None)
        self.__dict__.update(found_now)
        self._n_components_given = self.n_components
        self._explained_variance_ratio = found.explained_variance_ratio
        self.feature_errors_ = found.feature_errors

    def _found(self, result, labels, warm):
        """Return the fitted attributes for what training has found, after earlier fits."""
        network = result.candidate.spec.to_dict()
        weights = result.weights
        found = {"network_": network, "n_components_": network["n_components"]}
        if labels is not None:
            weights, found["head_"] = weights[:-2], labels.fold(*weights[-2:])
            if labels.classes is not None:
                found["classes_"] = labels.classes
        names = ("loss_curve_", "validation_loss_curve_", "validation_epochs_")
        curves = [getattr(self, name) if warm else [] for name in names]
        epochs = [len(curves[0]) + epoch for epoch in result.checked_epochs]
        now = (result.losses, result.validation_losses, epochs)
        for name, earlier, later in zip(names, curves, now, strict=True):
            found[name] = earlier + later
        n_epochs = len(found["loss_curve_"])
        gain = 0.0 if result.keeps_pca else result.gain
        return found | {"weights_": weights, "n_iter_": n_epochs, "gain_over_pca_": gain}

    def _sk_visual_block_(self):
        if not hasattr(self, "weights_"):
            return visual_block(self, None)
        spec = self._spec()
        caption = " -> ".join(map(str, [*spec.encoder_widths, *spec.decoder_widths[1:]]))
        return visual_block(self, caption + ", PCA kept" * (self.gain_over_pca_ == 0))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        tags.input_tags.positive_only = needs_positive(self.loss)
        # Other dtypes become the first one, but for those that float32 holds, such as uint8.
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self):
        return {**super().__getstate__(), "_skae_version": __version__}

    def __setstate__(self, state):
        state = dict(state)
        pickled_by = state.pop("_skae_version", "unknown")
        warn_of_version(type(self).__name__, pickled_by, __version__)
        super().__setstate__(state)


# After the class is made, since scikit-learn's wrapper of `transform` would compute the results.
for _name in (
    *("transform", "inverse_transform", "reconstruct", "impute"),
    *("score_samples", "reconstruction_error"),
):
    setattr(AutoencoderTransformer, _name, lazy(getattr(AutoencoderTransformer, _name)))
