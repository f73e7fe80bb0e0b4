"""Show handwritten digits in two components: by PCA, by an autoencoder, and by one with labels.

All three see the same training digits, and only the last one sees which digits these are. The
pictures show test digits, whose labels none of them sees.
"""

from digits import error, load_scaled, parse_arguments, plt
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from skae import AutoencoderTransformer
from skae.displays import LatentSpaceDisplay

arguments = parse_arguments(__doc__, "plot_labels.png")
X_train, X_test, y_train, y_test = load_scaled(arguments)

# %%
# Fit the three transformers.
deep = {"hidden_layer_sizes": (128,), "random_state": 0}
transformers = {
    "PCA": PCA(2, random_state=0),
    "autoencoder": AutoencoderTransformer(2, **deep),
    "autoencoder with labels": AutoencoderTransformer(2, label_weight=1.0, **deep),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
print(f"{'2 components':26}accuracy of 5 neighbors   reconstruction error")
for axis, (name, transformer) in zip(axes, transformers.items(), strict=True):
    codes = transformer.fit_transform(X_train, y_train)
    test_codes = transformer.transform(X_test)
    accuracy = KNeighborsClassifier().fit(codes, y_train).score(test_codes, y_test)
    lost = error(transformer.inverse_transform(test_codes), X_test)
    print(f"{name:26}{accuracy:23.3f}{lost:23.4f}")
    title = f"{name}: accuracy {accuracy:.2f}"
    display = LatentSpaceDisplay(test_codes[:3000], y=y_test[:3000], title=title).plot(ax=axis)
    if axis is not axes[-1]:
        display.legend_.remove()

figure.savefig(arguments.output, dpi=120)
print(f"Picture: {arguments.output}")
