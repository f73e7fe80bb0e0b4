"""Draw everything there is to see of a fitted autoencoder on one page, with the displays of skae.

A display computes what it shows in `from_estimator`, and draws it into axes of your own or into a
new figure. It keeps its numbers, so `plot` draws it again.
"""

from digits import load_scaled, parse_arguments, plt

from skae import AutoencoderTransformer
from skae.displays import (
    ComponentsDisplay,
    ExplainedVarianceDisplay,
    FeatureErrorDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
    ReconstructionDisplay,
)

arguments = parse_arguments(__doc__, "plot_displays.png")
X_train, X_test, y_train, y_test = load_scaled(arguments)
autoencoder = AutoencoderTransformer(8, random_state=0).fit(X_train)

# %%
# All but the losses need rows. Those that training has not seen say more, except for the variance
# that PCA explains beside the autoencoder, which speaks of the training rows.
image = {"image_shape": (28, 28)}
page, axes = plt.subplot_mosaic(
    [
        ["losses", "variance"],
        ["rows", "rows"],
        ["components", "codes"],
        ["components", "errors"],
    ],
    figsize=(12, 16),
    layout="constrained",
)
displays = [
    LossCurveDisplay.from_estimator(autoencoder, ax=axes["losses"]),
    ExplainedVarianceDisplay.from_estimator(autoencoder, X_train, ax=axes["variance"]),
    ReconstructionDisplay.from_estimator(autoencoder, X_test, **image, ax=axes["rows"]),
    FeatureErrorDisplay.from_estimator(autoencoder, X_test, **image, ax=axes["errors"]),
    ComponentsDisplay.from_estimator(
        autoencoder, X_test, **image, n_steps=5, ax=axes["components"]
    ),
    LatentSpaceDisplay.from_estimator(
        autoencoder, X_test, y_test, components=[0, 1], ax=axes["codes"]
    ),
]

# %%
# The titles say what was found.
for display in displays:
    title = " ".join(display.ax_.get_title(loc="left").split())
    print(f"{type(display).__name__}: {title}")
page.savefig(arguments.output, dpi=100)
print(f"Picture: {arguments.output}")
