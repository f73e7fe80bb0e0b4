"""Follow training in TensorBoard, with a callback of scikit-learn.

    python examples/log_to_tensorboard.py
    tensorboard --logdir logs

The estimator takes callbacks of scikit-learn 1.9 and not those of Keras, since it trains several
networks in one fit, with a loop of its own. Most of Keras' callbacks have a counterpart:
`early_stopping` keeps the best weights, `learning_rate` follows a cycle, and `save` writes what was
fitted. A callback whose `on_fit_task_end` returns True ends the training.
"""

import argparse

import tensorflow as tf
from sklearn.datasets import load_digits

from skae import AutoencoderTransformer


class TensorBoardLogger:
    """Write the losses of each training run, such as "turn 1", as curves over its epochs."""

    def __init__(self, folder):
        self.folder = folder

    def setup(self, estimator, context):
        self.writer = tf.summary.create_file_writer(self.folder)

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name != "validation":
            return
        with self.writer.as_default(step=fitted_estimator.n_iter_):
            tf.summary.scalar(f"{context.parent.task_name}/loss", fitted_estimator.loss_curve_[-1])
            for loss in fitted_estimator.validation_loss_curve_[-1:]:
                tf.summary.scalar(f"{context.parent.task_name}/validation loss", loss)

    def teardown(self, estimator, context):
        self.writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default="logs", help="where to write the events")
    folder = parser.parse_args().folder
    X = load_digits().data / 16
    autoencoder = AutoencoderTransformer(8, hidden_layer_sizes=(128,), random_state=0)
    autoencoder.set_callbacks(TensorBoardLogger(folder)).fit(X)
    print(f"{autoencoder.n_iter_} epochs, explained variance {autoencoder.score(X):.3f}: {folder}")


if __name__ == "__main__":
    main()
