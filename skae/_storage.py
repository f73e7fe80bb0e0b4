"""What an estimator does with rows that are too many for memory."""

import os
from typing import Any

import numpy as np

from skae._data.filling import filled
from skae._data.reading import read
from skae._data.rows import Rows
from skae._files.codes import write_codes
from skae._network import inference


class StorageMixin:
    """Methods of an estimator that has `network_` and `weights_`."""

    weights_: list[np.ndarray]
    n_components_: int
    _spec: Any
    get_feature_names_out: Any

    def transform_into(self, X, out):
        """Encode rows block by block, and write their codes into an array or a file.

        This is for codes that are too large for memory: :meth:`transform` returns an array.

        Parameters
        ----------
        X : {array-like, sparse matrix, rows in storage} of shape (n_samples, n_features)
            Rows to encode, in memory or in storage, as in :meth:`fit`.

        out : array of shape (n_samples, n_components), str or path-like
            Where to write. An array is anything with a shape that takes slices, such as a NumPy
            array, a memory map, an HDF5 dataset or a zarr array. It has a part of the codes if this
            fails. A path ends in ".npy", or in ".parquet" for columns with the names of
            `get_feature_names_out`. A file that is there already is replaced when the new one is
            complete, and stays as it was if this fails.

        Returns
        -------
        out : array, str or path-like
            The argument.

        Raises
        ------
        ValueError
            If `out` has another shape, or is the path of another kind of file.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> from sklearn.datasets import load_digits
        >>> from skae import AutoencoderTransformer
        >>> X = load_digits().data
        >>> estimator = AutoencoderTransformer(8, hidden_layer_sizes=(), random_state=0).fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = estimator.transform_into(X, os.path.join(folder, "codes.npy"))
        ...     codes = np.load(path)
        >>> codes.shape
        (1797, 8)
        """
        spec = self._spec()
        rows = Rows(filled(self, read(self, X)))
        shape = len(rows), self.n_components_
        blocks = (inference.encode(spec, self.weights_, block) for block, _ in rows.blocks())
        if isinstance(out, str | bytes | os.PathLike):
            dtype = np.result_type(rows.dtype, spec.dtype)
            write_codes(out, blocks, shape, dtype, self.get_feature_names_out())
            return out
        given = getattr(out, "shape", None)
        if given is None or tuple(given) != shape:
            raise ValueError(
                f"out must be an array of shape {shape}, one row for each row of X and one column "
                f"for each component, or the path of a file. Got {type(out).__name__}"
                f"{'' if given is None else f' of shape {tuple(given)}'}."
            )
        begin = 0
        for block in blocks:
            out[begin : begin + len(block)] = block
            begin += len(block)
        return out
