"""Define the plain Keras program that skae is measured against, as a user would write it."""

import keras


def build(n_features, n_components, dtype="float32"):
    """Return a dense encoder and decoder, compiled with Adam and squared error."""
    inputs = keras.Input((n_features,), dtype=dtype)
    code = keras.layers.Dense(n_components, "relu", dtype=dtype)(inputs)
    outputs = keras.layers.Dense(n_features, "sigmoid", dtype=dtype)(code)
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse")
    return model


def fit(model, X, X_val=None, epochs=50, batch_size=256):
    """Train the model, and validate after every epoch if there are rows to validate on."""
    validation = None if X_val is None else (X_val, X_val)
    model.fit(
        X,
        X,
        epochs=epochs,
        batch_size=batch_size,
        shuffle=True,
        validation_data=validation,
        verbose=0,
    )
    return model
