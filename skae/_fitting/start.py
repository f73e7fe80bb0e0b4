"""The start of a candidate on some rows: its weights, and the units that they are for."""

import numpy as np

from skae._data.rows import Rows
from skae._fitting.candidates import Candidate
from skae._fitting.decoder import DECODED_ROWS, fit_decoder
from skae._fitting.head import fit_head
from skae._fitting.initial import glorot_start, pca_start
from skae._fitting.principal import PrincipalAxes, principal_axes
from skae._fitting.schedule import starts_near
from skae._fitting.units import Units, in_units, may_centre, units_for
from skae._network import labels
from skae._network.inference import encode

# Statistics are taken from this many rows where those of all rows would be no better.
START_ROWS = 10_000
# PCA of more entries than this takes long enough to be shown.
LARGE = 10_000_000
# The layer that predicts labels is fitted to no more rows than this.
HEAD_ROWS = 10_000


def start(
    candidate: Candidate, rows: Rows, *, all_rows: bool = False
) -> tuple[list[np.ndarray], Units]:
    """Return the weights to start training from and their units, with those that predict labels."""
    weights, units = _start(candidate, rows, all_rows)
    if candidate.spec.head is not None and rows.labels[:, -1].any():
        weights = _with_head(candidate, weights, units.rows(rows))
    return weights, units


def unfolded(
    candidate: Candidate, rows: Rows, previous: list[np.ndarray]
) -> tuple[list[np.ndarray], Units]:
    """Return earlier weights to go on from, in the units to train in, and these units."""
    spec, loss = candidate.spec, candidate.loss
    centred = candidate.settings.init == "pca" and may_centre(spec, loss)
    units = units_for(spec, loss, rows, principal(candidate, rows) if centred else None)
    return units.unfold(spec, previous), units


def _with_head(candidate, weights, rows):
    """Return the weights with a layer that predicts the labels of rows in the units of training."""
    head, spec = candidate.spec.head, in_units(candidate.spec)
    known = np.flatnonzero(rows.labels[:, -1])
    if len(known) > HEAD_ROWS:
        rng = np.random.default_rng([candidate.settings.seed, 5])
        known = np.sort(rng.choice(known, HEAD_ROWS, replace=False))
    sample = rows.take(known)
    copies = np.ones(len(sample)) if sample.weights is None else sample.weights
    if not candidate.starts_from_pca:
        bias = labels.constant(head.kind, sample.labels, copies, head.n_outputs)
        return [*weights[:-1], bias.astype(spec.dtype)]
    codes = []
    for block, _ in sample.blocks():
        block = block.copy()  # one at a time, since sparse rows may be wide
        rows.to_units(block)
        codes.append(encode(spec, weights, block))
    fitted = fit_head(head, np.concatenate(codes), sample.labels, copies)
    return [*weights[:-2], *(array.astype(spec.dtype) for array in fitted)]


def _start(candidate, rows, all_rows):
    """Return the weights to start training from, and the units of rows and codes they are for.

    To start training, PCA of ten thousand rows is as good as PCA of all rows. A result to keep
    needs PCA of them all (`all_rows`).
    """
    spec, settings, loss = candidate.spec, candidate.settings, candidate.loss
    rng = np.random.default_rng([settings.seed, 2])
    if not candidate.starts_from_pca:
        units = units_for(spec, loss, rows)
        if spec.network is not None:
            assert not isinstance(settings.init, str)
            return settings.init, units
        # Without a bias, a rectified code of zeros would be decoded to zeros, where the loss has no
        # gradient.
        mean = rows.mean() if loss.directional else None
        return glorot_start(in_units(spec), rng, mean), units
    pca = principal(candidate, rows, all_rows=all_rows)
    units = units_for(spec, loss, rows, pca)
    price = settings.penalties.divergence * spec.n_features / units.scale ** (loss.power or 0)
    noise = 2 * price**2 if loss.shifts and loss.power == 1 else price / 2
    weights = pca_start(in_units(spec), units.axes(pca), rng, noise)
    if starts_near(candidate):
        weights = fit_decoder(spec, weights, rows.sample(DECODED_ROWS, settings.seed))
    return weights, units


def principal(candidate: Candidate, rows: Rows, *, all_rows: bool = False) -> PrincipalAxes:
    """Return PCA of the rows, or of ten thousand of them, and keep it with the rows."""
    seed, n_components, known = candidate.settings.seed, candidate.spec.n_components, rows.pca
    if known is None or known.n_wanted < n_components or (all_rows and known.n_rows < len(rows)):
        sample = rows if all_rows else rows.sample(START_ROWS, seed)
        if len(sample) * rows.n_features > LARGE:
            candidate.settings.progress.show(f"PCA of {len(sample):,} rows")
        rows.pca = known = principal_axes(sample, n_components, seed)
    return known.leading(n_components)
