"""Train the plain autoencoder of textbooks: 784-32-784, Adam, squared error, 50 epochs.

It starts from random weights and trains at a constant learning rate. The error on the test digits
is recorded after each epoch. `mnist_pipeline.py` shows what `AutoencoderTransformer()` does by
default instead: it starts from PCA and needs a few epochs.
"""

# %%
from digits import error, load_scaled, parse_arguments

from skae import AutoencoderTransformer

X_train, X_test, _, _ = load_scaled(parse_arguments(__doc__))

# %%
# Without early stopping, `X_val` is only used to record the validation loss.
autoencoder = AutoencoderTransformer(
    n_components=32,
    code_activation="relu",
    output_activation="sigmoid",
    init="glorot_uniform",
    loss="mse",
    optimizer="adam",
    learning_rate=1e-3,
    epochs=50,
    batch_size=256,
    early_stopping=False,
    random_state=0,
)
autoencoder.fit(X_train, X_val=X_test)

# %%
# Most of the gain comes in the first ten epochs. The last thirty lower the error by a few percent.
for epoch in (1, 2, 5, 10, 20, 50):
    print(
        f"epoch {epoch:2}: training error {autoencoder.loss_curve_[epoch - 1]:.5f}, "
        f"test error {autoencoder.validation_loss_curve_[epoch - 1]:.5f}"
    )
print(f"test error: {error(autoencoder.reconstruct(X_test), X_test):.5f}")
