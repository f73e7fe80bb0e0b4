"""Fit the layer that predicts labels to the codes that training starts with."""

import numpy as np
from scipy import optimize

from skae._network import labels
from skae._network.labels import Head

# Steps of L-BFGS. The layer is trained on, so it need not be at its optimum. After 15 steps it is,
# and there a weight of 2 and two copies of a row differ by what their rounding does to the search.
HEAD_STEPS = 8
# Penalty on the squared weights for codes of unit variance, divided by the number of rows.
PENALTY = 1.0


def fit_head(
    head: Head, codes: np.ndarray, targets: np.ndarray, copies: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel and the bias of a linear layer that predicts labels from codes.

    The sum of the losses and of a small penalty is lowered by L-BFGS (Liu & Nocedal, 1989), from
    the best constant prediction.
    """
    bias = labels.constant(head.kind, targets, copies, head.n_outputs)
    known = targets[:, -1] > 0
    codes, targets, copies = codes[known].astype(np.float64), targets[known], copies[known]
    mean = np.average(codes, axis=0, weights=copies)
    codes = codes - mean
    scale = np.sqrt(np.average(np.square(codes), axis=0, weights=copies))
    codes /= np.where(scale > 0, scale, 1)
    shares = (copies / copies.sum())[:, None]
    size = codes.shape[1] * head.n_outputs

    def objective(parameters):
        kernel = parameters[:size].reshape(-1, head.n_outputs)
        outputs = codes @ kernel + parameters[size:]
        slopes = labels.gradients(head.kind, outputs, targets) * shares
        loss = shares[:, 0] @ labels.losses(head.kind, outputs, targets)
        decay = PENALTY / copies.sum() * kernel
        gradient = [(codes.T @ slopes + decay).ravel(), slopes.sum(axis=0)]
        return loss + np.vdot(decay, kernel) / 2, np.concatenate(gradient)

    start = np.concatenate([np.zeros(size), bias])
    # Rounding must not decide when to stop.
    options = {"maxiter": HEAD_STEPS, "ftol": 0, "gtol": 1e-10}
    found = optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
    kernel = found[:size].reshape(-1, head.n_outputs) / np.where(scale > 0, scale, 1)[:, None]
    return kernel, found[size:] - mean @ kernel
