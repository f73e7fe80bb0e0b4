"""The estimator: parameters, validation, public methods."""

import warnings
from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skae._data.checks import check_range, check_squares, warn_of_scales
from skae._data.precision import precision
from skae._data.reading import explained, read, training_rows, validation_rows
from skae._files.state import State
from skae._files.storage import read as read_file
from skae._files.storage import write as write_file
from skae._fitting.candidates import Split
from skae._fitting.fit import fit
from skae._fitting.resolve import resolve
from skae._framework import load_framework
from skae._network import inference
from skae._network.losses import describe
from skae._network.spec import NetworkSpec
from skae._parameters import CONSTRAINTS
from skae._scikit_learn import _fit_context, in_container, request_metadata, requested_metadata
from skae._version import __version__


def _samples(estimator):
    """Whether an estimator generates rows."""
    fitted = getattr(estimator, "network_", {})
    if fitted.get("kl_weight", estimator.kl_weight) > 0:
        return True
    raise AttributeError(
        "sample needs a variational code, whose distribution is known. Got kl_weight="
        f"{estimator.kl_weight!r}. Set kl_weight=1.0 for example, and fit."
    )


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Nonlinear dimensionality reduction with a Keras autoencoder.

    A network is trained to return its input through a narrow layer of `n_components` units, the
    code. :meth:`transform` encodes and :meth:`inverse_transform` decodes, so the estimator stands
    in a :class:`~sklearn.pipeline.Pipeline` where :class:`~sklearn.decomposition.PCA` stood.

    By default training starts from PCA, holds rows out to see whether it improves on it, and
    keeps PCA where it does not do so clearly: by 1 % and by four standard errors.

    Parameters
    ----------
    n_components : int, default=32
        Number of units of the code. More than `min(n_samples, n_features)` are kept, with a
        warning; those beyond the rank of the data start with a random encoder and a decoder of
        zeros.

    hidden_layer_sizes : int or array-like of int, default=()
        Widths of the encoder's hidden layers, which make it deep [3]_; the decoder mirrors them.
        With ``init="pca"`` each half is a linear map plus what its hidden layers add to it, which
        is nothing at the start. With `image_shape` these are numbers of filters.

    activation : str, default="relu"
        Activation of the hidden layers, by Keras' name: "elu", "exponential", "gelu",
        "hard_sigmoid", "leaky_relu", "linear", "mish", "relu", "relu6", "selu", "sigmoid",
        "silu", "softplus", "softsign", "squareplus" or "tanh". Upper case and "swish" are
        understood.

    code_activation : str, default="auto"
        Activation of the code. "auto" is "linear" with ``init="pca"``, so that codes have the
        centre and the unit of PCA's, which the model behind them may depend on, and "relu" with
        ``init="glorot_uniform"``. A linear code is ordered as PCA's is: its components are
        uncorrelated on all training rows, and those that explain most come first. From PCA, a
        rectified code is raised until all training rows are where it is linear: the same
        network, with codes far from zero. With `sparsity` "auto" is "relu", with `kl_weight`
        "linear".

    output_activation : str, default="auto"
        Activation of the output. "auto" is "sigmoid" for data in [0, 1] that it describes better
        and "linear" otherwise. With ``init="glorot_uniform"`` the range alone decides. It is
        "sigmoid" for binary cross-entropy. For the Poisson loss it is "squareplus", in a unit of
        0.05 of the mean of X and with that as its least: PCA's reconstruction where this is
        positive.

    noise : float, pair, callable or None, default=None
        Corruption of the rows in training, drawn anew every time, from which the network has to
        restore them as they were [4]_. A float is the fraction of entries to mask, that is to set
        to zero. A pair is one of ``("masking", fraction)``, ``("gaussian", standard_deviation)``,
        ``("salt_and_pepper", fraction)``, which sets entries to the smallest or the largest value
        of the training data, and ``("swap", fraction)``, which gives them the value of the same
        feature in another row [8]_, for tables whose features have little in common. A callable
        ``(batch, rng) -> batch`` takes a copy of some dense rows and a
        :class:`numpy.random.Generator` derived from `random_state`, and may degrade them in any way
        that keeps the shape. Nothing is corrupted in :meth:`transform`.

    sparsity : float, default=0.0
        Weight of an L1 penalty, the sum over the code of its absolute values [5]_. A sparse code
        is "relu" by default, and training then starts from random weights.

    kl_weight : float, default=0.0
        Above 0 the code is variational [6]_: the encoder gives mean and variance of a normal
        distribution, training draws from it, and the weighed divergence from the standard normal
        distribution is added to the loss. 1 makes the sum an evidence lower bound in any unit of X,
        and more presses the code together [7]_. For "mse" and "mae" that takes the noise of the
        rows: it is what PCA with as many components leaves, for each feature alike [9]_ [10]_.
        "binary_crossentropy" and "poisson" are likelihoods as they are. With any other loss the
        divergence is multiplied by ``kl_weight / n_features``. :meth:`transform` returns the mean,
        and :meth:`sample` generates.

    image_shape : (height, width) or (height, width, channels) or None, default=None
        Shape of the image that each row is, flattened in C order. Each of `hidden_layer_sizes`
        is then the number of filters of a 3 x 3 convolution with a stride of 2, and of its
        transpose in the decoder; any height and width will do. To transform and to decode takes
        Keras: the first call imports TensorFlow.

    network : callable or None, default=None
        Function from the description of a network, of which `n_features`, `n_components` and
        `dtype` are of use, to two Keras models, (encoder, decoder), of any layers, pretrained
        ones included. Training starts from the weights that they come with, so give a seed to
        random initializers. Models that are not made anew at each call are trained themselves, and
        to transform assigns to them. What a layer computes of a whole batch, as BatchNormalization
        does, is of a batch that may be filled up with copies of its rows. The function is pickled
        by reference, as functions are. To transform and to decode takes Keras here too. See the
        examples below.

    loss : str or dict, default="mse"
        What training minimises: "mse", "mae", "mape", "msle" for numbers from 0 on, "huber",
        "log_cosh", "cosine_similarity", "binary_crossentropy", "binary_focal_crossentropy",
        "categorical_crossentropy" and "kl_divergence" for data in [0, 1], "poisson" for counts, by
        any of Keras' names for them, or the configuration of a Keras loss, such as
        ``{"class_name": "Huber", "config": {"delta": 0.1}}``. With ``from_logits=True`` in it the
        output is a probability all the same, unless ``output_activation="linear"``.

    optimizer : str or dict, default="adam"
        Keras' name of the optimizer, or its configuration, such as
        ``{"class_name": "AdamW", "config": {"weight_decay": 1e-4}}``. Under
        ``learning_rate="one_cycle"`` "adam" has ``beta_2=0.99``, or 0.95 from near the optimum.

    learning_rate : "one_cycle" or float, default="one_cycle"
        "one_cycle" rises linearly for a tenth of the steps and falls to zero as half a cosine
        [1]_. Its peak is the rate in the optimizer's configuration if there is one, else 2e-2, or
        3e-3 with hidden layers. Where training starts near the optimum (from PCA, with a sigmoid
        output, no hidden layers and no penalty) it rises for a fiftieth of the steps, to 3e-2. A
        float is a constant rate, and wins over the configuration's.

    init : {"pca", "glorot_uniform"}, default="pca"
        Where training starts: from PCA, of which a linear autoencoder is a rediscovery [2]_, or
        from random weights, as Keras does by default. Without hidden layers, a decoder that
        ends in a sigmoid is fitted to the codes of PCA first, by a few steps of L-BFGS.

    epochs : "auto" or int, default="auto"
        Passes over the training rows. "auto" is as many as make 1,400 optimizer steps with
        hidden layers and 1,000 without, or from near the optimum 10 passes, of 100 to 550 steps;
        from 1 to 500 passes, of which the last may be cut short, and none where PCA is the
        optimum (squared error, no hidden layers, linear output).

    batch_size : "auto" or int, default="auto"
        Rows per optimizer step. "auto" is 96, or from near the optimum 64 or 128, the more rows
        there are.

    early_stopping : bool, default=True
        Whether to hold rows out of training and keep the weights that reconstruct them best.
        Where `fit` is given `X_val`, that is used instead. Small data are held out in up to five
        turns, until the gain over PCA is clear, and then trained on whole, for as many epochs as
        were best. Copies of a row are never separated. Under a constant rate training also ends
        early.

    validation_fraction : float, default=0.1
        Fraction of the rows, by weight, to hold out, and no more than 2,000 rows of average weight.
        Rows of many copies are held out only where there are few others; then, what is held out
        may be more, and all rows are trained on in the end. Only used with early stopping.

    n_iter_no_change : int, default=10
        Epochs without improvement after which training ends, under a constant rate and with
        early stopping.

    tol : float, default=1e-4
        Smallest relative decrease of the validation loss that counts as an improvement.

    warm_start : bool, default=False
        Whether `fit` continues from the weights of the previous call, with the optimizer afresh.
        A linear code is ordered anew after each call.

    verbose : int or bool, default=0
        Whether to print a line for every validation, or every epoch.

    random_state : int, RandomState instance or None, default=None
        Determines random weights, the shuffle and the rows held out. An int gives the same
        estimator to the last bit in any process with as many threads.

    Attributes
    ----------
    weights_ : list of ndarray
        Kernel and bias of each layer, encoder first. Behind those of a half with a linear
        shortcut stands the shortcut's kernel (and bias, if it is convolutional), and behind all
        kernel and bias of a variational code's log-variance. With `network`, the variables of its
        encoder and decoder.

    network_ : dict
        Description of the network that the weights are for.

    n_iter_ : int
        Epochs of training behind `weights_`; 0 where they are PCA's, or what training would have
        started from.

    loss_curve_ : list of float
        Mean training loss in each of these epochs.

    validation_loss_curve_ : list of float
        Loss on the rows held out, or on `X_val`, after every epoch; with ``epochs="auto"`` at
        most 25 times, at equal distances. As in training, the rows are corrupted if there is
        `noise`, and the penalties of the code count. Empty without either.

    n_features_in_ : int
        Number of features seen during :meth:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :meth:`fit`, if all are strings.

    See Also
    --------
    sklearn.decomposition.PCA : The best linear code.

    Notes
    -----
    Fitted estimators hold arrays, never Keras objects: they pickle and copy without TensorFlow,
    which is imported at the first training. They transform and decode without it too, unless the
    network is convolutional or custom.

    What is compiled for training is kept for later fits of the same network and batch size. The
    first fit of each takes about 0.4 s more (1 s with three hidden layers) and 5 MB that TensorFlow
    does not give back. In a search, each width of a hidden layer, activation, loss and optimizer is
    another network; `kl_weight`, `sparsity`, rates and the optimizer's `weight_decay` are not.

    Rows are trained on in a unit in which they vary by about one wherever the network for that is
    equal to one for the rows as they are: with a linear, "relu", "leaky_relu" or "exponential"
    output, and losses that have no scale of their own.

    A fitted network that the mean of the columns describes the training rows better than, or PCA
    where training starts from it and nothing is penalised, raises a ConvergenceWarning.

    Sample weights count as copies exactly as long as all rows fit into one batch.

    References
    ----------
    .. [1] L. N. Smith and N. Topin, "Super-Convergence: Very Fast Training of Neural Networks
       Using Large Learning Rates", 2018, arXiv:1708.07120.
    .. [2] P. Baldi and K. Hornik, "Neural networks and principal component analysis: Learning
       from examples without local minima", Neural Networks 2, 1989.
    .. [3] G. Hinton and R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural
       Networks", Science 313, 2006.
    .. [4] P. Vincent et al., "Extracting and Composing Robust Features with Denoising
       Autoencoders", ICML 2008.
    .. [5] A. Ng, "Sparse autoencoder", CS294A lecture notes, 2011.
    .. [6] D. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
    .. [7] I. Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained
       Variational Framework", ICLR 2017.
    .. [8] J. Yoon et al., "VIME: Extending the Success of Self- and Semi-supervised Learning to
       Tabular Domain", NeurIPS 2020.
    .. [9] M. Tipping and C. Bishop, "Probabilistic Principal Component Analysis", Journal of the
       Royal Statistical Society B 61, 1999.
    .. [10] O. Rybkin, K. Daniilidis and S. Levine, "Simple and Effective VAE Training with
       Calibrated Decoders", ICML 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from skae import AutoencoderTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> pipe = make_pipeline(
    ...     MinMaxScaler(),
    ...     AutoencoderTransformer(16, random_state=0),
    ...     LogisticRegression(max_iter=1000),
    ... )
    >>> pipe.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.9
    True

    A network of one's own, which keeps only the three largest units of the code (k-sparse):

    >>> def k_sparse(spec):
    ...     import keras
    ...     class Largest(keras.layers.Layer):
    ...         def call(self, code):
    ...             third = keras.ops.top_k(code, 3)[0][:, -1:]
    ...             return keras.ops.where(code >= third, code, 0.0)
    ...     glorot = keras.initializers.GlorotUniform(seed=0)
    ...     encoder = keras.Sequential([
    ...         keras.Input((spec.n_features,)),
    ...         keras.layers.Dense(spec.n_components, kernel_initializer=glorot),
    ...         Largest(),
    ...     ])
    ...     decoder = keras.Sequential([
    ...         keras.Input((spec.n_components,)),
    ...         keras.layers.Dense(spec.n_features, kernel_initializer=glorot),
    ...     ])
    ...     return encoder, decoder
    >>> codes = AutoencoderTransformer(16, network=k_sparse, epochs=5).fit_transform(
    ...     (X / 16).astype("float32")
    ... )
    >>> int((codes[0] != 0).sum())
    3
    """

    _parameter_constraints = CONSTRAINTS

    def __init__(
        self,
        n_components=32,
        *,
        hidden_layer_sizes=(),
        activation="relu",
        code_activation="auto",
        output_activation="auto",
        noise=None,
        sparsity=0.0,
        kl_weight=0.0,
        image_shape=None,
        network=None,
        loss="mse",
        optimizer="adam",
        learning_rate="one_cycle",
        init="pca",
        epochs="auto",
        batch_size="auto",
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        verbose=0,
        random_state=None,
    ):
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.code_activation = code_activation
        self.output_activation = output_activation
        self.noise = noise
        self.sparsity = sparsity
        self.kl_weight = kl_weight
        self.image_shape = image_shape
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.init = init
        self.epochs = epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, sample_weight=None, X_val=None):
        """Train the network to reconstruct the rows of X.

        A call that fails or is interrupted leaves the estimator as it was.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. It is computed in float32 if that holds every value of its dtypes:
            float16, float32, bool, and integers of 8 and 16 bits. All else, lists among it, is
            computed in float64.

        y : Ignored
            Not used, present here for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss, and in the PCA that training starts from. A row of
            weight 2 counts as two. Where those above zero have a mean below 1, they can't be meant
            as counts, and are scaled to a mean of 1.

        X_val : {array-like, sparse matrix} of shape (n_val_samples, n_features), default=None
            Rows whose loss is recorded in `validation_loss_curve_`; with ``early_stopping=True``
            they also choose the weights. In a Pipeline use
            ``Pipeline(steps, transform_input=["X_val"])`` with metadata routing enabled and
            ``set_fit_request(X_val=True)``, so that they pass through the steps before.
            ``autoencoder__X_val=`` would hand them over untransformed, and cross-validation cuts
            what has as many rows as X into folds.

        Returns
        -------
        self : AutoencoderTransformer
            The fitted estimator.
        """
        # What happens to a copy, and is taken over at once when all has succeeded, can't be lost.
        before, fitted = self.__dict__.copy(), _twin(self)
        fitted._fit(X, sample_weight, X_val)
        self.__dict__ = _merged(before, self.__dict__, fitted.__dict__)
        return self

    def transform(self, X):
        """Encode rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to encode.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_components)
            Their codes.
        """
        check_is_fitted(self)
        spec = self._spec()
        # To look for NaN in X costs as much as to encode it. Where the code is linear in X they
        # show in the code, which is small; only then is X searched, for the error.
        linear = spec.shortcut or (spec.dense and not spec.hidden_layer_sizes)
        shows = linear and spec.code_activation == "linear"
        checked = read(self, X, ensure_all_finite=not shows)
        with np.errstate(invalid="ignore", over="ignore"):
            codes = inference.encode(spec, self.weights_, checked)
        if shows and not np.isfinite(codes).all():
            read(self, X)
        return codes

    def inverse_transform(self, X):
        """Decode codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, as :meth:`transform` returns them.

        Returns
        -------
        X_original : ndarray or DataFrame of shape (n_samples, n_features)
            Rows decoded from them; a frame with the names of the training data's features where
            :meth:`set_output` asks for frames.
        """
        check_is_fitted(self)
        spec = self._spec()
        with explained(X, "X", None):
            codes = check_array(X, dtype=precision(X), estimator=self, input_name="X")
        if codes.shape[1] != spec.n_components:
            raise ValueError(
                f"X has {codes.shape[1]} columns, but AutoencoderTransformer decodes codes of "
                f"n_components={spec.n_components}, as transform returns them."
            )
        decoded = inference.decode(spec, self.weights_, codes)
        return in_container(self, decoded, X, self._input_names())

    def reconstruct(self, X):
        """Encode rows and decode them again.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to reconstruct.

        Returns
        -------
        X_reconstructed : ndarray or DataFrame of shape (n_samples, n_features)
            What the network makes of them; a frame where :meth:`set_output` asks for frames.
        """
        check_is_fitted(self)
        checked = read(self, X)
        reconstructed = inference.reconstruct(self._spec(), self.weights_, checked)
        return in_container(self, reconstructed, X, self._input_names())

    def score(self, X, y=None, sample_weight=None):
        """Fraction of the variance of X that its reconstruction explains.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to reconstruct.

        y : Ignored
            Not used, present here for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            :func:`~sklearn.metrics.r2_score` with ``multioutput="variance_weighted"``: at most 1,
            which is perfect; 0 is as good as the mean of X.
        """
        # Only here: the metrics are a third of what importing skae would cost.
        from sklearn.metrics import r2_score

        check_is_fitted(self)
        X = read(self, X)
        reconstructed = inference.reconstruct(self._spec(), self.weights_, X)
        if sparse.issparse(X):
            X = X.toarray()
        # r2_score would take the mean of X in float32, far from zero and of many rows too far off.
        X = X.astype(np.float64, copy=False)
        return r2_score(
            X, reconstructed, sample_weight=sample_weight, multioutput="variance_weighted"
        )

    def to_keras(self):
        """Build Keras models with the fitted weights. This imports TensorFlow.

        Returns
        -------
        encoder : keras.Model
            From rows to codes.

        decoder : keras.Model
            From codes to rows.

        autoencoder : keras.Model
            The two in sequence. All three share their weights with each other, and none with
            this estimator: training them does not change it.
        """
        check_is_fitted(self)
        load_framework()
        from skae._keras.networks import build

        return tuple(build(self._spec(), self.weights_)[:3])

    def save(self, path):
        """Write the fitted estimator into a file, which :func:`skae.load` reads.

        The file holds parameters and weights as plain data, in the safetensors format, and is the
        same to the byte for the same estimator. It takes its place at once when it is complete:
        if that fails or is interrupted, an earlier file stays as it was. Callbacks of
        scikit-learn are left out.

        Parameters
        ----------
        path : str or path-like
            Path of the file; one that is there is replaced.

        Raises
        ------
        NotFittedError
            If there is nothing to save yet.

        ValueError
            If the estimator holds what a file can't: a callable or a RandomState among its
            parameters, attributes that are not skae's, or parameters that `fit` would refuse. The
            message names the way out.

        OSError
            As `open` raises it, or if the disk is full.
        """
        check_is_fitted(self)
        if type(self) is not AutoencoderTransformer:
            raise ValueError(
                f"save writes an AutoencoderTransformer, and this is a {type(self).__name__}, "
                "which would come back as something else. Pickle it."
            )
        output = getattr(self, "_sklearn_output_config", {}).get("transform")
        write_file(State(self.__dict__, output, requested_metadata(self)), path)

    @available_if(_samples)
    def sample(self, n_samples=1, random_state=None):
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
            Rows like those of the training data; a frame where :meth:`set_output` asks for
            frames.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be an int in the range [1, inf). Got {n_samples!r}.")
        spec = self._spec()
        rng = np.random.default_rng() if random_state is None else check_random_state(random_state)
        codes = rng.standard_normal((n_samples, spec.n_components)).astype(spec.dtype)
        decoded = inference.decode(spec, self.weights_, codes)
        return in_container(self, decoded, codes, self._input_names())

    @property
    def _n_features_out(self):
        return self.network_["n_components"]

    def _fit(self, X, sample_weight, X_val):
        """Fit this copy of the estimator."""
        warm = self.warm_start and hasattr(self, "weights_")
        rows = training_rows(self, X, sample_weight, reset=not warm)
        candidate = resolve(self, rows, self.network_ if warm else None)
        held = None if X_val is None else validation_rows(self, X_val, rows.dtype)
        for name, checked in (("X", rows), ("X_val", held)):
            if checked is not None:
                check_squares(checked, name)
                check_range(self.loss, checked, name)
        warn_of_scales(rows)
        previous = self.weights_ if warm else None
        # Those of a custom network are as the user made them, seeds of layers among them.
        spec = candidate.spec
        if previous is not None and spec.network is None:
            previous = [array.astype(spec.dtype) for array in previous]
        result = fit(candidate, Split(rows, held), previous, self._seed())
        self.network_: dict = result.candidate.spec.to_dict()
        # Some of SciPy's come in Fortran order, and from a copy in the other the last bits differ.
        self.weights_: list[np.ndarray] = [np.asarray(a, order="C") for a in result.weights]
        earlier = (self.loss_curve_, self.validation_loss_curve_) if warm else ([], [])
        self.loss_curve_: list[float] = earlier[0] + result.losses
        self.validation_loss_curve_: list[float] = earlier[1] + result.validation_losses
        self.n_iter_ = len(self.loss_curve_)

    def _seed(self):
        if self.random_state is None:
            # Not NumPy's global generator, which no method may change.
            return int(np.random.default_rng().integers(2**31))
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _spec(self):
        return NetworkSpec(**self.network_)

    def _input_names(self):
        names = getattr(self, "feature_names_in_", None)
        return [f"x{i}" for i in range(self.n_features_in_)] if names is None else names

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = _needs_positive(self.loss)
        # What is in neither becomes the first, but for what float32 holds exactly, as uint8.
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self):
        return {**super().__getstate__(), "_skae_version": __version__}

    def __setstate__(self, state):
        state = dict(state)
        version = state.pop("_skae_version", "unknown")
        if version != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=__version__,
                    original_sklearn_version=version,
                ),
                stacklevel=2,
            )
        super().__setstate__(state)


def _needs_positive(loss):
    """Whether a loss is not defined below zero. Of what is no loss, `fit` says so."""
    try:
        return describe(loss).low >= 0
    except (AttributeError, KeyError, TypeError):
        return False


def _twin(estimator):
    """A shallow copy with all attributes, also those that a subclass does not pickle."""
    twin = object.__new__(type(estimator))
    state = object.__getstate__(estimator)
    attributes, slots = state if isinstance(state, tuple) else (state, {})
    twin.__dict__.update(attributes)
    for name, value in slots.items():
        object.__setattr__(twin, name, value)
    return twin


def _merged(before, now, after):
    """Attributes as they are now, with all that a twin has changed, added and deleted since."""
    changed = {
        name: value
        for name, value in after.items()
        if name not in before or value is not before[name]
    }
    deleted = before.keys() - after.keys()
    return {name: value for name, value in now.items() if name not in deleted} | changed


def load(path):
    """Load a fitted estimator from a file that its `save` method wrote.

    Neither TensorFlow nor pickle takes part. Files need no trust: whatever their bytes, nothing in
    them is run, imported or opened, and they take at most 10 MB more memory than their size. They
    say what the estimator computes, though, and whoever changes a file on purpose can change that
    too: where it comes from is yours to know.

    Parameters
    ----------
    path : str or path-like
        Path of the file.

    Returns
    -------
    estimator : AutoencoderTransformer
        The estimator as it was saved: it transforms to the same bits, and a warm start goes on
        from where it was. Sequences among its parameters are tuples.

    Raises
    ------
    ModelFileError
        If it is no regular file, is damaged, was not written by skae, or was by a release whose
        format this one does not know.

    OSError
        As `open` raises it: if there is no such file for example, or it may not be read.

    Warns
    -----
    InconsistentVersionWarning
        If another version of skae wrote the file.

    See Also
    --------
    AutoencoderTransformer.save : Write an estimator into a file.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import skae
    >>> X = np.random.default_rng(0).uniform(size=(100, 6))
    >>> estimator = skae.AutoencoderTransformer(2).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     estimator.save(path)
    ...     loaded = skae.load(path)
    >>> bool((loaded.transform(X) == estimator.transform(X)).all())
    True
    """
    state = read_file(path)
    parameters = {name: state.attributes[name] for name in CONSTRAINTS}
    estimator = AutoencoderTransformer(**parameters)
    if state.output is not None:
        estimator.set_output(transform=state.output)
    request_metadata(estimator, state.requests)
    estimator.__dict__.update(state.attributes)
    return estimator
