"""The description of a network as a frozen value, which both halves of skae know."""

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

from skae._network.labels import Head


class Penalties(NamedTuple):
    """The weights of the penalties on the code."""

    sparsity: float = 0.0  # weight of the sum of absolute values of the code
    divergence: float = 0.0  # weight of the divergence from the standard normal distribution
    labels: float = 0.0  # weight of the loss of labels that are predicted from the code


@dataclass(frozen=True)
class NetworkSpec:
    """An autoencoder, described by plain values so that it hashes, compares and pickles.

    With `shortcut`, each half is a linear map plus a correction by its hidden layers, as in a
    residual block (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016). This
    lets a deep network start exactly as PCA.
    """

    n_features: int
    n_components: int
    hidden_layer_sizes: tuple[int, ...]
    activation: str
    code_activation: str
    output_activation: str
    shortcut: bool
    dtype: str
    sparsity: float = 0.0
    kl_weight: float = 0.0
    image_shape: tuple[int, int, int] | None = None
    network: Callable | None = None
    # If it is set, rows are output_unit * (1 + output_activation(...)). They are never below
    # output_unit if the activation is never negative.
    output_unit: float | None = None
    # The kind of labels that a linear layer predicts from the code, and how many outputs it has.
    label_kind: str | None = None
    n_label_outputs: int = 0

    @property
    def dense(self) -> bool:
        """Whether the network is a stack of dense layers, which NumPy can run."""
        return self.image_shape is None and self.network is None

    @property
    def penalised(self) -> bool:
        """Whether there is a penalty on the code."""
        return bool(self.sparsity or self.kl_weight)

    def without_labels(self) -> "NetworkSpec":
        """Return the same network without the layer that predicts labels."""
        return dataclasses.replace(self, label_kind=None, n_label_outputs=0)

    def without_weights(self) -> "NetworkSpec":
        """Return the same network with a weight of 1 for each penalty that it has.

        The weights of the penalties do not change how a network is built.
        """
        sparsity, kl_weight = float(self.sparsity > 0), float(self.kl_weight > 0)
        return dataclasses.replace(self, sparsity=sparsity, kl_weight=kl_weight)

    @property
    def encoder_widths(self) -> tuple[int, ...]:
        return (self.n_features, *self.hidden_layer_sizes, self.n_components)

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        return self.encoder_widths[::-1]

    @property
    def n_encoder_arrays(self) -> int:
        """The number of weight arrays of a dense network's encoder, which come first."""
        return 2 * (len(self.hidden_layer_sizes) + 1) + self.shortcut

    def half_shapes(self) -> list[list[tuple[int, ...]]]:
        """Return the shapes of the weight arrays of the encoder and of the decoder.

        Each layer has a kernel and a bias. The shortcut comes last, with a kernel, and with a bias
        if the network is for images.
        """
        halves = []
        for half, widths in enumerate((self.encoder_widths, self.decoder_widths)):
            kernels = list(itertools.pairwise(widths))
            if self.image_shape is not None:
                kernels = self._image_kernels()[half]
            # A transposed convolution's kernel has its outputs before its inputs.
            flipped = range(1, len(kernels) - 1) if self.image_shape and half else ()
            shapes = []
            for i, kernel in enumerate(kernels):
                shapes += [kernel, kernel[-2:-1] if i in flipped else kernel[-1:]]
            if self.shortcut:
                ends = (self.n_features, self.n_components)[:: 1 - 2 * half]
                shapes += [ends, ends[1:]] if self.image_shape else [ends]
            halves.append(shapes)
        return halves

    def _image_kernels(self):
        """Return the kernel shapes of the 3 x 3 convolutions and the dense layers at the code."""
        assert self.image_shape is not None
        height, width, channels = self.image_shape
        filters, rounded = self.hidden_layer_sizes, 2 ** len(self.hidden_layer_sizes)
        flat = -(-height // rounded) * -(-width // rounded) * filters[-1]
        chain = (channels, *filters)
        back = (*filters[::-1], filters[0])
        encoder = [(3, 3, *pair) for pair in itertools.pairwise(chain)]
        decoder = [(3, 3, n_out, n_in) for n_in, n_out in itertools.pairwise(back)]
        return (
            [*encoder, (flat, self.n_components)],
            [(self.n_components, flat), *decoder, (3, 3, filters[0], channels)],
        )

    @property
    def log_variance(self) -> int:
        """The position of the kernel of a variational code's log-variance, before its bias."""
        return sum(map(len, self.half_shapes()))

    @property
    def head(self) -> Head | None:
        """The layer that predicts labels, whose kernel and bias are the last arrays."""
        return Head(self.label_kind, self.n_label_outputs) if self.label_kind else None

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of all weight arrays, those of the encoder first.

        A variational code's log-variance has a kernel and a bias, which come after both halves. So
        has the layer that predicts labels, after these.
        """
        encoder, decoder = self.half_shapes()
        head = []
        if self.kl_weight:
            last = -2 - self.shortcut * (1 if self.image_shape is None else 2)
            head = [(encoder[last][0], self.n_components), (self.n_components,)]
        if self.label_kind:
            head += [(self.n_components, self.n_label_outputs), (self.n_label_outputs,)]
        return [*encoder, *decoder, *head]

    def to_dict(self) -> dict:
        """Return plain dicts and tuples, which an estimator can keep.

        An object of this class in an estimator would be one more type that skops has to be told to
        trust.
        """
        # Not dataclasses.asdict, which copies: a copy of the user's `network` is another network.
        return {field.name: getattr(self, field.name) for field in fields(self)}
