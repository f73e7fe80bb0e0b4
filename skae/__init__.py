"""Keras autoencoders as scikit-learn transformers."""

from skae._autoencoder import AutoencoderTransformer
from skae._persistence import ModelFileError, load
from skae._version import __version__

__all__ = ["AutoencoderTransformer", "ModelFileError", "__version__", "load"]
