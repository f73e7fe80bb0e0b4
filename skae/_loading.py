"""From a file to an estimator: beside the estimator, since files know plain values alone."""

from skae._autoencoder import AutoencoderTransformer
from skae._files.storage import read
from skae._parameters import CONSTRAINTS
from skae._scikit_learn import request_metadata


def load(path) -> AutoencoderTransformer:
    """Load a fitted estimator from a file that its `save` method wrote.

    This needs neither TensorFlow nor pickle. A file needs no trust: whatever its bytes are, nothing
    in it is run, imported or opened, and loading takes at most 10 MB more memory than its size.
    Somebody who changes a file on purpose can still change what the estimator computes, so know
    where a file comes from.

    Parameters
    ----------
    path : str or path-like
        Path of the file.

    Returns
    -------
    estimator : AutoencoderTransformer
        The saved estimator. It transforms to the same bits, and a warm start continues from where
        training ended. Sequences among its parameters are tuples.

    Raises
    ------
    ModelFileError
        If the file is damaged, is not a regular file, was not written by skae, or was written by a
        later version in a format that this one does not know.

    OSError
        As `open` raises it, for example if there is no such file or it may not be read.

    Warns
    -----
    InconsistentVersionWarning
        If another version of skae wrote the file.

    See Also
    --------
    AutoencoderTransformer.save : Write an estimator to a file.

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
    state = read(path)
    estimator = AutoencoderTransformer(**{name: state.attributes[name] for name in CONSTRAINTS})
    if state.output is not None:
        estimator.set_output(transform=state.output)
    request_metadata(estimator, state.requests)
    estimator.__dict__.update(state.attributes)
    return estimator
