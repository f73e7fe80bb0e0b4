"""Train in one of several processes, the ranks, which reduce gradients after each step.

Each rank has its own rows of each batch. TensorFlow's collectives sum the gradients of all ranks,
so that all make the same step. XLA does not compile them, so it compiles the gradients alone.
"""

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from skae._keras import apart
from skae._keras.feed import Feed
from skae._keras.training import Recipe, _Program, _shared_optimizer
from skae._network.spec import NetworkSpec

# The numbers of the ranks as a group, and of its sums, which must be the same in all ranks.
# TensorFlow's strategies count from 1.
GROUP = 1000
_instances = itertools.count(100_000)


class Place(NamedTuple):
    """Which of the ranks this process is, and what it has of each epoch."""

    rank: int
    n_ranks: int
    batch_size: int  # of all ranks
    batch_rows: int  # rows of a full batch that this rank has
    n_batches: int


def total(values: Any, n_ranks: int) -> np.ndarray:
    """Return the sum of an array over all ranks, which all have to call this in the same order."""
    values = np.asarray(values, np.float64)
    return values if n_ranks == 1 else _sum(tf.constant(values), n_ranks, next(_instances)).numpy()


@apart
def train(
    place: Place,
    spec: NetworkSpec,
    rows: Any,
    weights: list[np.ndarray],
    recipe: Recipe,
    monitor: Any,
) -> list[np.ndarray]:
    """Train as `skae._keras.training.train` does, together with the other ranks.

    `rows` are those of this rank, in the order of training. The monitor is called in rank 0 alone.
    """
    if place.rank:  # or all ranks would draw the same noise
        seed = recipe.seed if isinstance(recipe.seed, list) else [recipe.seed]
        recipe = recipe._replace(seed=[*seed, place.rank])
    optimizer, _ = _shared_optimizer(recipe.optimizer)
    key = spec.without_weights(), recipe.loss, optimizer
    program = _program(place, *key, recipe.corrupt is not None, recipe.holes)
    with _RankFeed(rows, program, recipe, place) as feed:
        program.reset(weights, recipe)
        for losses in feed.train(monitor.advance if place.rank == 0 else _nowhere):
            stop = place.rank == 0 and monitor(losses, program.weights)
            if total(stop, place.n_ranks):
                break
        return program.weights()


def _program(place, *description):
    """Return a program that all ranks make at the same time, or that all have from a run before.

    At another batch size this rank may have as many rows of a batch as before, and others not.
    """
    return _made(place.batch_size, place.n_ranks, place.batch_rows, *description)


@functools.lru_cache(32)
def _made(batch_size, n_ranks, batch_rows, spec, loss, optimizer, corrupted, holes):
    return _RankProgram(n_ranks, spec, loss, optimizer, batch_rows, corrupted, holes)


def _nowhere(n_epochs):
    """Tell nobody how many epochs are done."""


class _RankFeed(Feed):
    """The rows of a rank. Where it has fewer in a batch than others, copies without weight."""

    def __init__(self, rows, program, recipe, place):
        self._place = place
        super().__init__(rows, program, recipe)

    def _n_batches(self):
        return self._place.n_batches

    def _indices(self, n_epochs):
        size = self._place.batch_rows
        for _ in range(n_epochs):
            order = np.concatenate([*self._rows.order(self._rng, shuffle=self._shuffle)])
            for i in range(self._steps_per_epoch):
                yield order[i * size : (i + 1) * size]  # the last one may be empty

    def _share(self, weights, totals, out):
        out[...] = weights  # the program divides by the sum over all ranks

    def _means(self, losses, weights):
        begins = range(0, len(losses), self._steps_per_epoch)
        sums = [np.add.reduceat(a, begins, dtype=np.float64) for a in (losses, weights)]
        losses, weights = total(sums, self._place.n_ranks)
        return losses / weights


class _RankProgram(_Program):
    """A program whose steps are those of all ranks together."""

    whole = False

    def __init__(self, n_ranks, spec, *description):
        self._n_ranks = n_ranks
        self._instance = next(_instances)
        local = super()._gradients
        self._local = tf.function(local, jit_compile=spec.dense, autograph=False)
        super().__init__(spec, *description)

    def _gradients(self, inputs, target, share):
        loss, gradients = self._local(inputs, target, share)
        return loss, self._reduced(gradients, share)

    def _reduced(self, gradients, share):
        """Return the gradients of the weighted mean over all ranks."""
        known = [tf.convert_to_tensor(g) for g in gradients if g is not None]
        flat = [tf.reshape(tf.cast(g, share.dtype), [-1]) for g in known]
        parts = [*flat, tf.reshape(tf.reduce_sum(share), [1])]
        if self._n_ranks > 1:
            sums = _sum(tf.concat(parts, 0), self._n_ranks, self._instance)
            parts = tf.split(sums, [math.prod(part.shape) for part in parts])
        *parts, weight = parts
        pairs = zip(parts, known, strict=True)
        means = iter([tf.cast(tf.reshape(p / weight, g.shape), g.dtype) for p, g in pairs])
        return [None if g is None else next(means) for g in gradients]


def _sum(vector, n_ranks, instance):
    with tf.device("CPU:0"):
        return tf.raw_ops.CollectiveReduceV2(
            input=vector,
            group_size=n_ranks,
            group_key=GROUP,
            instance_key=instance,
            ordering_token=[],
            merge_op="Add",
            final_op="Id",
        )
