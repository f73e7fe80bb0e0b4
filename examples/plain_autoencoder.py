"""The plain autoencoder of textbooks: 784-32-784, Adam, squared error, 50 epochs.

It starts from random weights and trains at a constant rate, with the test digits' error recorded
after each epoch. What `AutoencoderTransformer()` does instead by default is in
`mnist_pipeline.py`: it starts from PCA and needs a few epochs.
"""

# %%
from digits import error, load_scaled, parse_arguments

from skae import AutoencoderTransformer

X_train, X_test, _, _ = load_scaled(parse_arguments(__doc__))

# %%
# `X_val` only records: without early stopping it chooses nothing.
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
# Most is gained in the first ten epochs; the last thirty take off a few per cent.
for epoch in (1, 2, 5, 10, 20, 50):
    print(
        f"epoch {epoch:2}: training error {autoencoder.loss_curve_[epoch - 1]:.5f}, "
        f"test error {autoencoder.validation_loss_curve_[epoch - 1]:.5f}"
    )
print(f"test error: {error(autoencoder.reconstruct(X_test), X_test):.5f}")
