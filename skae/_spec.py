"""What a network is, as a frozen value: the one thing both halves of skae know."""

import itertools
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class NetworkSpec:
    """A dense autoencoder, described by plain values so that it hashes, compares and pickles.

    With `shortcut`, each half is a linear map plus a correction by its hidden layers, as in a
    residual block (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016). That
    is what lets a deep network start as PCA exactly.
    """

    n_features: int
    n_components: int
    hidden_layer_sizes: tuple[int, ...]
    activation: str
    code_activation: str
    output_activation: str
    shortcut: bool
    dtype: str

    @property
    def encoder_widths(self) -> tuple[int, ...]:
        return (self.n_features, *self.hidden_layer_sizes, self.n_components)

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        return self.encoder_widths[::-1]

    @property
    def n_encoder_arrays(self) -> int:
        """How many of the weight arrays are the encoder's; they come first."""
        return 2 * (len(self.hidden_layer_sizes) + 1) + self.shortcut

    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the weight arrays: each layer's kernel and bias, then the shortcut's kernel."""
        shapes: list[tuple[int, ...]] = []
        for widths in (self.encoder_widths, self.decoder_widths):
            for n_in, n_out in itertools.pairwise(widths):
                shapes += [(n_in, n_out), (n_out,)]
            if self.shortcut:
                shapes.append((widths[0], widths[-1]))
        return shapes

    def to_dict(self) -> dict:
        """Plain dicts and tuples, which an estimator can keep: our own class inside it would be
        one more type that skops has to be told to trust."""
        return asdict(self)
