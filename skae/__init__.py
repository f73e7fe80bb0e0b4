"""Keras autoencoders as scikit-learn transformers."""

from skae._autoencoder import AutoencoderTransformer
from skae._files.storage import ModelFileError
from skae._loading import load
from skae._outliers import AutoencoderOutlierDetector
from skae._show_versions import show_versions
from skae._version import __version__

__all__ = [
    "AutoencoderOutlierDetector",
    "AutoencoderTransformer",
    "ModelFileError",
    "__version__",
    "load",
    "show_versions",
]
