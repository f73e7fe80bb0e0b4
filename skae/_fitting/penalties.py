"""The weights of what is added to the loss of a row: divergence, sparsity and labels."""

import numpy as np

from skae._data.rows import Rows, moments
from skae._fitting.candidates import Candidate
from skae._fitting.start import START_ROWS, principal
from skae._fitting.validation import constant_losses, perfect_losses
from skae._network import labels
from skae._network.spec import NetworkSpec, Penalties
from skae._threads import one_thread

# With a variational code, the noise of the rows is at least this fraction of the mean variance of
# the columns.
LEAST_NOISE = 1e-3


@one_thread()
def penalties_of(candidate: Candidate, rows: Rows) -> Penalties:
    """Return the weights of the code's own losses, which are added to the loss of a row.

    With `kl_weight=1` the divergence has the weight that makes the sum an evidence lower bound.
    Cross-entropy and Poisson's loss are likelihoods as they are. Squared and absolute error become
    those of a normal and of a Laplace distribution, with the noise that PCA leaves (Tipping &
    Bishop, 1999; the idea of fitting it is from Rybkin et al., "Simple and effective VAE training
    with calibrated decoders", ICML 2021). `start` finds the noise again from these weights, so it
    has to know the two distributions too.
    """
    spec, loss, price = candidate.spec, candidate.loss, 1.0
    if spec.kl_weight and loss.shifts:
        sample = rows.sample(START_ROWS, candidate.settings.seed)
        total = np.square(moments(sample)[1]).sum()
        kept = principal(candidate, rows).variances
        left = (total - kept.sum()) / max(spec.n_features - len(kept), 1)
        variance = max(left, LEAST_NOISE * total / spec.n_features) or 1.0
        price = 2 * variance if loss.power == 2 else np.sqrt(variance / 2)
    divergence = spec.kl_weight * float(price) / spec.n_features
    return Penalties(spec.sparsity, divergence, _price_of_labels(candidate, rows))


def _price_of_labels(candidate, rows):
    """Return the weight of the loss of a known label beside the loss of a row.

    With `label_weight=1` the mean of the columns and the best constant prediction of the labels
    have the same loss beyond that of a perfect reconstruction and prediction. So the weight means
    the same for any loss, scale of X and number of classes.

    Where labels are missing, all losses of labels together count as the square root of the fraction
    of rows with one. On 20,000 digits with 100 and 1,000 labels, the fraction itself served
    classifiers less, and no such factor ended at reconstruction errors a fifth higher.
    """
    spec = candidate.spec
    if not spec.label_kind:
        return 0.0
    _, of_labels = constant_prediction(spec, rows)
    sample = rows.sample(START_ROWS, candidate.settings.seed)
    of_rows = constant_losses(candidate, rows.mean(), sample) - perfect_losses(candidate, sample)
    of_rows = np.average(of_rows, weights=sample.weights)
    known = rows.labels[:, -1] > 0
    known_fraction = np.average(known, weights=rows.weights)
    price = (of_rows or 1.0) / of_labels / np.sqrt(known_fraction)
    return candidate.settings.label_weight * float(price)


def constant_prediction(spec: NetworkSpec, rows: Rows) -> tuple[np.ndarray, float]:
    """Return the best constant prediction of the labels, and its mean loss."""
    assert spec.label_kind is not None
    known = np.flatnonzero(rows.labels[:, -1])
    targets = rows.labels[known]
    copies = np.ones(len(known)) if rows.weights is None else rows.weights[known].astype(float)
    best = labels.constant(spec.label_kind, targets, copies, spec.n_label_outputs)
    outputs = np.broadcast_to(best, (len(known), len(best)))
    losses = labels.losses(spec.label_kind, outputs, targets)
    return best, float(np.average(losses, weights=copies))
