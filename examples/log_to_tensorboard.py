"""
Follow the training in TensorBoard
==================================

With scikit-learn 1.9 an estimator takes callbacks, and skae calls them after each validation. Here
one writes the losses to where TensorBoard, or anything else, shows them while `fit` is running.
"""

# %%
# A callback is any object with these four functions. Those of Keras are not taken, since one fit
# trains several networks in a loop of its own. Most of them have a counterpart: `early_stopping`
# keeps the best weights, `learning_rate` follows a cycle, and `save` writes what was fitted.
import tempfile
import types

import matplotlib.pyplot as plt
import tensorflow as tf
from sklearn.datasets import load_digits

from skae import AutoencoderTransformer
from skae.displays import LossCurveDisplay

folder = tempfile.mkdtemp()
writer = tf.summary.create_file_writer(folder)
seen = []


def ignore(estimator, context):
    """Setting up, and the beginning of a task, need no action."""


def log(estimator, context, *, fitted_estimator):
    """Write the losses at the end of a validation; returning True would end the training."""
    if context.task_name != "validation":
        return
    run, epoch = context.parent.task_name, fitted_estimator.n_iter_
    losses = {"training": fitted_estimator.loss_curve_[-1:]}
    losses["validation"] = fitted_estimator.validation_loss_curve_[-1:]
    with writer.as_default(step=epoch):
        for name, values in losses.items():
            for value in values:
                tf.summary.scalar(f"{run}/{name} loss", value)
    seen.append((run, epoch))


def close(estimator, context):
    writer.close()


callback = types.SimpleNamespace(
    setup=ignore, on_fit_task_begin=ignore, on_fit_task_end=log, teardown=close
)

# %%
# A run is a training: a small X is held out in turns, and then trained on as a whole.
X = load_digits().data / 16
autoencoder = AutoencoderTransformer(8, random_state=0).set_callbacks(callback).fit(X)
print(f"To see the curves, run: tensorboard --logdir {folder}")

# %%
# Without any callback, the losses are there after the fit, as attributes and as a picture.
display = LossCurveDisplay.from_estimator(autoencoder)

# %%
# The callback has seen every run of the fit.
for run in dict.fromkeys(run for run, _ in seen):
    epochs = [epoch for name, epoch in seen if name == run]
    print(f"{run}: {len(epochs)} validations, the last after {epochs[-1]} epochs")
plt.show()
