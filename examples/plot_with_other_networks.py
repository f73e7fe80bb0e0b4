"""Use the parts in other networks: the encoder in a classifier, the decoder in a GAN.

`to_keras()` returns Keras models with the fitted weights. Here the encoder is the front of a
classifier that is fine-tuned end to end with 100 labels. On 1,000 test digits this classifier is no
better than the same layers started from random weights. The decoder is the generator that a small
generative adversarial network (GAN) starts from.
"""

import keras
import numpy as np
import tensorflow as tf
from digits import draw, load_scaled, parse_arguments

from skae import AutoencoderTransformer

arguments = parse_arguments(__doc__, "plot_with_other_networks.png")
X_train, X_test, y_train, y_test = load_scaled(arguments)

# %%
# Fit one autoencoder. It is variational, so its decoder takes standard normal codes, as a generator
# does.
autoencoder = AutoencoderTransformer(
    16, hidden_layer_sizes=(256,), kl_weight=10.0, epochs=40, random_state=0
).fit(X_train)


# %%
# Train a classifier on 100 labels, from the fitted encoder and from the same layers with random
# weights.
def classifier(encoder):
    initializer = keras.initializers.GlorotUniform(seed=0)
    outputs = keras.layers.Dense(10, "softmax", kernel_initializer=initializer)(encoder.output)
    model = keras.Model(encoder.input, outputs)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X_train[:100], y_train[:100], epochs=150, batch_size=32, verbose=0)
    return model.evaluate(X_test, y_test, verbose=0)[1]


encoder, decoder, _ = autoencoder.to_keras()
random_encoder = keras.models.clone_model(encoder)
for number, layer in enumerate(random_encoder.layers):
    if layer.weights:
        kernel = keras.initializers.GlorotUniform(seed=number)(layer.kernel.shape)
        layer.kernel.assign(kernel)
fine_tuned, from_scratch = classifier(encoder), classifier(random_encoder)
print(f"100 labels, fitted encoder fine-tuned: accuracy {fine_tuned:.3f}")
print(f"100 labels, the same layers from random weights: accuracy {from_scratch:.3f}")

# %%
# Train a GAN whose generator starts as the decoder. Its discriminator tells real digits from
# generated ones.
before = autoencoder.sample(10, random_state=0)
discriminator = keras.Sequential(
    [
        keras.Input((784,)),
        keras.layers.Dense(128, "leaky_relu"),
        keras.layers.Dropout(0.3, seed=0),
        keras.layers.Dense(1),
    ]
)
loss = keras.losses.BinaryCrossentropy(from_logits=True)
optimizers = [keras.optimizers.Adam(rate, beta_1=0.5) for rate in (2e-4, 1e-4)]


@tf.function
def step(real, codes):
    with tf.GradientTape() as tape:
        verdicts = [discriminator(images, training=True) for images in (real, decoder(codes))]
        answers = loss(tf.ones_like(verdicts[0]), verdicts[0])
        answers += loss(tf.zeros_like(verdicts[1]), verdicts[1])
    variables = discriminator.trainable_variables
    optimizers[0].apply(tape.gradient(answers, [v.value for v in variables]), variables)
    with tf.GradientTape() as tape:
        verdict = discriminator(decoder(codes, training=True), training=True)
        deceit = loss(tf.ones_like(verdict), verdict)
    variables = decoder.trainable_variables
    optimizers[1].apply(tape.gradient(deceit, [v.value for v in variables]), variables)
    return deceit


rng = np.random.default_rng(0)
for _ in range(600):
    real = X_train[rng.integers(len(X_train), size=64)]
    step(tf.constant(real), tf.constant(rng.standard_normal((64, 16), dtype=np.float32)))
codes = np.random.RandomState(0).standard_normal((10, 16)).astype(np.float32)
after = decoder(codes).numpy()


def sharpness(images):
    """Return the mean difference between neighboring pixels."""
    return np.abs(np.diff(images.reshape(-1, 28, 28), axis=2)).mean()


print(
    f"mean difference of neighboring pixels: {sharpness(before):.3f} before the GAN, "
    f"{sharpness(after):.3f} after it, {sharpness(X_test):.3f} in real digits"
)
draw(
    {"real": X_test, "decoded before": before, "the same codes after 600 steps of the GAN": after},
    arguments.output,
)
