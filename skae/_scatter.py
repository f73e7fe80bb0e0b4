"""Where rows lie and how their columns vary together, whatever a few of the rows are."""

import numpy as np

# Steps towards the estimate; further ones change no result that was looked at.
N_STEPS = 6
# The least shrinkage, without which columns that repeat each other have no inverse.
LEAST_SHRINKAGE = 1e-6


def squared_distances(deviations, precision):
    """Return the squared Mahalanobis distance of each row from its center."""
    return np.einsum("ij,ij->i", deviations @ precision, deviations)


def robust_scatter(X, power):
    """Return the center of rows, the inverse of their covariance, and a weight for each row.

    From half the median of the squared distances on, a row loses weight by a power of its squared
    distance. With a power of 1 no row has much influence, however far it is: nearly the estimate
    of Tyler, "A distribution-free M-estimator of multivariate scatter", Annals of Statistics 15,
    1987. The covariance is shrunk: Ledoit and Wolf, "A well-conditioned estimator for
    large-dimensional covariance matrices", Journal of Multivariate Analysis 88, 2004.
    """
    center, precision = np.median(X, axis=0), np.eye(X.shape[1])
    weights = np.ones(len(X))
    for _ in range(N_STEPS):
        distances = squared_distances(X - center, precision)
        typical = np.median(distances) or distances.max() or 1.0
        weights = np.maximum(distances / typical, 0.5) ** -power
        weights /= weights.mean()
        center = np.average(X, axis=0, weights=weights)
        precision = np.linalg.inv(_shrunk_covariance((X - center) * np.sqrt(weights)[:, None]))
    return center, precision, weights


def _shrunk_covariance(deviations):
    """Return the covariance of rows around zero, shrunk towards a multiple of the identity."""
    n_rows, n_columns = deviations.shape
    covariance = deviations.T @ deviations / n_rows
    square = np.square(covariance).sum()
    variance = np.trace(covariance) / n_columns or 1.0
    spread = square - n_columns * variance**2
    noise = (np.square(np.square(deviations).sum(axis=1)).mean() - square) / n_rows
    shrinkage = np.clip(noise / spread, LEAST_SHRINKAGE, 1.0) if spread > 0 else 1.0
    return (1 - shrinkage) * covariance + shrinkage * variance * np.eye(n_columns)
