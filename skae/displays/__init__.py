"""Pictures of fitted estimators, by scikit-learn's protocol for displays.

``SomeDisplay.from_estimator(estimator, X)`` computes what is to be seen and draws it. `plot` draws
it again. Both return the display, whose attributes hold the numbers, the axes and the artists. Only
these two methods import matplotlib, which ``pip install "skae[plots]"`` installs.

A figure of your own needs a layout, as ``plt.subplots(layout="constrained")`` has, for the names of
features and titles to find their places.

An estimator is a fitted :class:`~skae.AutoencoderTransformer`, or a fitted
:class:`~sklearn.pipeline.Pipeline` with one among its steps. The steps before it are applied to X,
and pictures show rows as the autoencoder sees them. Later steps are not used.
"""

from skae.displays._components import ComponentsDisplay
from skae.displays._explained_variance import ExplainedVarianceDisplay
from skae.displays._feature_errors import FeatureErrorDisplay
from skae.displays._latent_space import LatentSpaceDisplay
from skae.displays._loss_curve import LossCurveDisplay
from skae.displays._reconstruction import ReconstructionDisplay

__all__ = [
    "ComponentsDisplay",
    "ExplainedVarianceDisplay",
    "FeatureErrorDisplay",
    "LatentSpaceDisplay",
    "LossCurveDisplay",
    "ReconstructionDisplay",
]
