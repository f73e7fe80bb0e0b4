"""Principal axes of rows that may be weighted, dense or sparse, narrow or wide."""

import functools
from typing import NamedTuple

import numpy as np
from scipy import linalg
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from sklearn.utils.extmath import svd_flip

from skae._data.rows import Rows
from skae._threads import one_thread

# With up to this many features (or rows), their square matrix is decomposed exactly.
MAX_EXACT = 1024
# Variances above this part of the first are accurate to a hundred-thousandth: errors are at most
# 0.2 eps of the first in float32, and a few eps in float64, with some in reserve for iterations.
ACCURATE = {np.dtype(np.float32): 6e-3, np.dtype(np.float64): 2e-10}
EPS = np.finfo(np.float64).eps
# Block Lanczos: the width of a block, the axes in the basis beyond twice those wanted, the most
# blocks, and the residual of an axis, as a part of its variance, that is small enough.
KRYLOV_WIDTH = 16
BASIS_TO_SPARE = 64
MAX_PRODUCTS = 1_000
CONVERGED = 1e-3
# The number of entries of a product that are computed at a time.
PRODUCT_SIZE = 2**22


class PrincipalAxes(NamedTuple):
    """PCA of some rows, in float64, with at most as many axes as the rank of the rows."""

    mean: np.ndarray  # (n_features,)
    axes: np.ndarray  # (n_axes, n_features), orthonormal
    variances: np.ndarray  # (n_axes,), descending
    spread: np.ndarray  # (n_features,), the variance of each column
    n_rows: int = 0  # that they were computed from
    n_wanted: int = 0  # axes that were asked for, of which there are fewer if the rank is lower

    def leading(self, n_axes: int) -> "PrincipalAxes":
        """Return the first axes alone."""
        return self._replace(axes=self.axes[:n_axes], variances=self.variances[:n_axes])

    def extended(self, variances: np.ndarray, axes: np.ndarray) -> "PrincipalAxes":
        """Return these axes and further ones, made orthogonal to these, by falling variance."""
        axes = axes - (axes @ self.axes.T) @ self.axes
        variances = np.concatenate([self.variances, variances])
        order = np.argsort(-variances, kind="stable")
        axes = np.concatenate([self.axes, axes])[order]
        return self._replace(axes=axes, variances=variances[order])

    @property
    def scale(self) -> float:
        """The standard deviation along the first axis, or 1 if nothing varies."""
        return float(np.sqrt(self.variances[0])) if len(self.variances) else 1.0


def principal_axes(rows: Rows, n_components: int, seed: int) -> PrincipalAxes:
    """Return weighted PCA of the rows.

    Axes are found from squares, so those whose variance is far below the first are inaccurate. They
    are found again, in float64, after the accurate axes above them are taken away.
    """
    decompose, precision = _decomposition(rows, seed)
    nothing = np.empty((0, rows.n_features))
    pca = PrincipalAxes(rows.mean(), nothing, np.empty(0), np.empty(0))
    n_axes, complete = min(n_components, len(rows), rows.n_features), False
    while not complete:
        centred = _Centred(rows, pca, precision)
        variances, axes, spread = decompose(centred, n_axes - len(pca.axes))
        pca = pca if len(pca.spread) else pca._replace(spread=spread)
        accurate = variances > ACCURATE[precision] * variances[0]
        pca = pca.extended(variances[accurate], axes[accurate])
        # Beyond the rank of the rows, axes are arbitrary and differ with the rounding.
        kept = pca.variances > _from_rounding(rows, pca)
        complete = not (accurate.any() and kept.all() and len(pca.axes) < n_axes)
        pca = pca._replace(axes=pca.axes[kept], variances=pca.variances[kept])
        precision = np.dtype(np.float64)
    _, axes = svd_flip(None, pca.axes, u_based_decision=False)
    return pca._replace(axes=axes, n_rows=len(rows), n_wanted=n_components)


def _decomposition(rows, seed):
    """Return the function that finds the axes fastest, and the dtype for it to begin in."""
    precision = np.dtype(np.float64)
    if rows.n_features <= MAX_EXACT:
        # In float64 as long as this costs no noticeable time, and where the squares need it.
        if len(rows) * rows.n_features**2 >= 1e9 and _squares_fit(rows):
            precision = rows.dtype
        return _from_covariance, precision
    if len(rows) <= MAX_EXACT and not issparse(rows.X):
        return _from_gram, precision
    return functools.partial(_from_krylov, seed=seed), precision


def _squares_fit(rows):
    """Return whether the dtype of the rows holds sums of their squares and small parts of these."""
    largest = float(np.abs(rows.extremes).max())
    limits = np.finfo(rows.dtype)
    tiny, eps, most = map(float, (limits.tiny, limits.eps, limits.max))
    return tiny / eps**2 < largest**2 < most / (4 * len(rows))


def _from_rounding(rows, pca):
    """Return the largest variance along each axis that rounding of the rows alone can make.

    Rounding adds noise in proportion to the numbers in a column. The variances of this noise are
    those of a random matrix with the shape of the rows. Collinear columns in float64 often come
    from float32, so the limit allows for the rounding of float32 there too.
    """
    noise = np.finfo(rows.dtype).eps * (1 + np.sqrt(rows.n_features / len(rows)))
    squares = np.square(pca.axes)
    spread = pca.variances @ squares  # of each column
    least = max(noise**2, 5 * EPS)
    # Taking earlier axes away leaves traces of them in columns that are constant.
    traces = (1e3 * EPS) ** 2 * pca.variances[:1].sum()
    return squares @ (least * spread + noise**2 * np.square(pca.mean)) + traces


class _Centred:
    """The rows minus their mean and the axes found already, times the roots of their weights."""

    def __init__(self, rows, found, precision):
        self.rows, self._found, self._precision = rows, found, precision

    def blocks(self):
        """Yield blocks of this matrix."""
        mean, axes = self._found.mean, self._found.axes
        for block, weights in self.rows.blocks():
            # In float64, whatever the dtype: an offset may be far larger than the variation.
            centred = np.empty(block.shape, self._precision)
            np.subtract(block, mean, dtype=np.float64, out=centred, casting="same_kind")
            if len(axes):
                centred -= (centred @ axes.T) @ axes
            if weights is not None:
                centred *= np.sqrt(weights)[:, None]
            yield centred

    def spread(self):
        """Return the mean square of each column, before any axes are taken away."""
        rows = self.rows
        if not issparse(rows.X):
            squares = sum(np.square(block).sum(axis=0) for block in self.blocks())
            return squares / rows.total_weight()
        copies = np.ones(len(rows)) if rows.weights is None else rows.weights.astype(np.float64)
        squares = np.ravel(copies @ rows.X.multiply(rows.X)) / rows.total_weight()
        return np.maximum(squares - np.square(self._found.mean), 0)

    def rounding(self):
        """Return the sum of squares along an axis that may come from rounding alone."""
        first, offset = self._found.variances[:1].sum(), np.square(self._found.mean).max()
        noise = np.finfo(self.rows.dtype).eps ** 2
        return max(EPS * first, noise * offset) * self.rows.total_weight()

    def squared_times(self, Q):
        """Return the transpose of the matrix times the matrix times Q."""
        if not issparse(self.rows.X):
            return sum(block.T @ (block @ Q) for block in self.blocks())
        mean, axes = self._found.mean, self._found.axes
        Q = Q - axes.T @ (axes @ Q)
        product = np.zeros_like(Q)
        for chosen in gen_batches(len(self.rows), max(1, PRODUCT_SIZE // Q.shape[1])):
            part = self.rows.take(chosen)
            image = part.X @ Q - mean @ Q
            if part.weights is not None:
                image *= part.weights[:, None]
            product += part.X.T @ image
            product -= np.outer(mean, image.sum(axis=0))
        return product - axes.T @ (axes @ product)


def _from_covariance(centred, n_axes):
    n_features = centred.rows.n_features
    covariance = np.zeros((n_features, n_features))
    for block in centred.blocks():
        covariance += block.T @ block
    covariance /= centred.rows.total_weight()
    spread = np.diag(covariance).copy()
    return *_leading(covariance, n_axes), spread


def _from_gram(centred, n_axes):
    matrix = np.concatenate(list(centred.blocks()))
    _, left = _leading(matrix @ matrix.T, n_axes)
    axes = left @ matrix
    lengths = np.linalg.norm(axes, axis=1)
    axes /= np.maximum(lengths, np.finfo(np.float64).tiny)[:, None]
    weight = centred.rows.total_weight()
    return lengths**2 / weight, axes, np.square(matrix).sum(axis=0) / weight


def _leading(symmetric, n_axes):
    """Return the largest eigenvalues of a matrix, descending, and their eigenvectors as rows."""
    n = len(symmetric)
    with one_thread():  # in SciPy, since threads of NumPy's product would slow it down
        values, vectors = linalg.eigh(symmetric, subset_by_index=[n - n_axes, n - 1])
    return values[::-1], vectors.T[::-1]


def _from_krylov(centred, n_axes, *, seed):
    """Find axes by block Lanczos, which restarts from the best axes when its basis is full.

    The method is from Wu & Simon, "Thick-restart Lanczos method for large symmetric eigenvalue
    problems" (2000). SciPy's `eigsh` was tried too. It misses some of several equal variances,
    which one-hot columns have, and the error of 100 axes was 1.004 times PCA's.
    """
    n_features = centred.rows.n_features
    rng = np.random.default_rng([seed, 3])
    most = min(2 * n_axes + BASIS_TO_SPARE, n_features)
    # Columns are added in place, since copies of wide arrays take as long as the products.
    room = np.empty((2, most + KRYLOV_WIDTH, n_features))
    basis, size, squares, exhausted = room[0, :0].T, 0, np.zeros(n_axes), False
    block = rng.standard_normal((n_features, KRYLOV_WIDTH))
    for _ in range(MAX_PRODUCTS):
        # The whole block is needed: a column that is cut off would be missing in all later blocks.
        block, lost = _orthonormal(block[:, : n_features - size], basis, rng)
        exhausted |= lost
        image = centred.squared_times(block)
        begin, size = size, size + block.shape[1]
        room[:, begin:size] = block.T, image.T
        basis, images = (columns[:size].T for columns in room)
        if size < most:
            block = image
            continue
        block = image if size == n_features else _orthonormal(image, basis, rng)[0]
        before = squares[:n_axes].sum()
        squares, turned = _leading(basis.T @ images, min(n_axes + KRYLOV_WIDTH, size))
        for columns in room:
            columns[: len(turned)] = turned @ columns[:size]
        size = len(turned)
        basis, images = (columns[:size].T for columns in room)
        residuals = np.linalg.norm(images - basis * squares, axis=0)
        done = _converged(squares[:n_axes], residuals[:n_axes], centred.rounding())
        # No more equal variances than the width of a block are found at a time.
        if exhausted and squares[:n_axes].sum() > (1 + 1e-8) * before:
            done = False
        if done or size == n_features:
            break
    variances = squares[:n_axes] / centred.rows.total_weight()
    return variances, basis[:, :n_axes].T.copy(), centred.spread()


def _converged(squares, residuals, rounding):
    """Return whether eigenvalues and vectors are accurate enough; the smallest may be found again.

    An axis may miss the square of its residual divided by its eigenvalue, and leaves this much
    behind when further axes are searched. Nothing below the rounding of products can be reached.
    """
    relevant = squares > max(ACCURATE[np.dtype(np.float64)] * squares[0], rounding)
    least = squares[relevant].min(initial=np.inf)
    if not relevant.all():
        least = min(least, max(EPS * squares[0], rounding))
    limits = np.maximum(CONVERGED * np.sqrt(squares[relevant] * least), 1e3 * EPS * squares[0])
    return (residuals[relevant] <= limits).all()


def _orthonormal(block, basis, rng):
    """Return an orthonormal block that is orthogonal to the basis, and whether parts are random.

    A column that lies in the span of the basis is replaced by a random one.
    """
    filled, done = False, 0
    while done < 2:  # a single pass would leave rounding errors
        size = np.linalg.norm(block)
        block, triangle = _qr(block - basis @ (basis.T @ block))
        lost = np.abs(np.diag(triangle)) <= 1e-10 * size
        block[:, lost] = rng.standard_normal((len(block), np.count_nonzero(lost)))
        filled |= bool(lost.any())
        done += not (done and lost.any())
    return block, filled


def _qr(block):
    """Return a QR decomposition of a tall block, by Cholesky's where that is accurate enough.

    This takes a fifth of the time. The second of two such passes makes the columns orthonormal
    (Yamamoto et al., "Roundoff error analysis of the CholeskyQR2 algorithm", 2015).
    """
    try:
        triangle = np.linalg.cholesky(block.T @ block).T
        sizes = np.diag(triangle)
        if sizes.min() > 1e-6 * sizes.max():
            return linalg.solve_triangular(triangle, block.T, trans="T").T, triangle
    except np.linalg.LinAlgError:
        pass
    return np.linalg.qr(block)
