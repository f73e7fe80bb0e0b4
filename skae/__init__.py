"""Keras autoencoders as scikit-learn transformers."""

from skae._autoencoder import AutoencoderTransformer
from skae._version import __version__

__all__ = ["AutoencoderTransformer", "__version__"]
