"""
Search the parameters of a Pipeline on a mixed table
====================================================

The autoencoder is one step between the preparation of a table with numbers and categories and a
regressor. A grid search tries its parameters like those of any step, and replaces it by PCA.
"""

# %%
# mlxtend ships the fuel consumption of 392 cars, with four measurements and three categories.
import matplotlib.pyplot as plt
import pandas as pd
from mlxtend.data import autompg_data
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold, train_test_split
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skae import AutoencoderTransformer
from skae.displays import LatentSpaceDisplay

numbers = ["displacement", "horsepower", "weight", "acceleration"]
categories = ["cylinders", "year", "origin"]
values, miles_per_gallon = autompg_data()
X = pd.DataFrame(values[:, :7], columns=["cylinders", *numbers, "year", "origin"])
X["origin"] = X["origin"].map({1: "America", 2: "Europe", 3: "Japan"})
X_train, X_test, y_train, y_test = train_test_split(X, miles_per_gallon, random_state=0)
print(X_train.head(3).to_string(index=False))

# %%
# Numbers are scaled, and each category becomes a column of zeros and ones. The five nearest
# neighbors in the code predict the miles per gallon.
encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
columns = make_column_transformer((StandardScaler(), numbers), (encoder, categories))
autoencoder = AutoencoderTransformer(random_state=0)
pipe = Pipeline([("columns", columns), ("reduce", autoencoder), ("predict", KNeighborsRegressor())])

# %%
# `label_weight` asks for a code that serves the regressor. The parameters of a step begin with its
# name, and the step itself is a parameter too.
sizes = [2, 4, 8]
grid = [
    {"reduce": [PCA(random_state=0)], "reduce__n_components": sizes},
    {"reduce__n_components": sizes, "reduce__label_weight": [0.0, 1.0]},
]
search = GridSearchCV(pipe, grid, cv=KFold(3, shuffle=True, random_state=0)).fit(X_train, y_train)

# %%
# Draw the scores of the search, and the first two components of the best code that was found.
results = pd.DataFrame(search.cv_results_)
weights = results["param_reduce__label_weight"]
groups = {"PCA": weights.isna(), "autoencoder": weights == 0, "with labels": weights == 1}
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
for name, rows in groups.items():
    left.plot(sizes, results.loc[rows, "mean_test_score"], marker="o", markersize=4, label=name)
left.set(xlabel="number of components", ylabel="R² in cross-validation", xticks=sizes)
left.legend(frameon=False)
display = LatentSpaceDisplay.from_estimator(
    search.best_estimator_, X_test, y_test, components=2, ax=right
)
display.colorbar_.set_label("miles per gallon")

# %%
# Without labels the code of the autoencoder serves the regressor about as well as that of PCA. With
# labels it serves it better, and few components are enough. The order is the same on cars that the
# search has not seen.
print(f"{'R²':26}{'components':>12}{'cross-validation':>18}{'test':>8}")
for name, rows in groups.items():
    best = results[rows].sort_values("mean_test_score").iloc[-1]
    score = clone(pipe).set_params(**best["params"]).fit(X_train, y_train).score(X_test, y_test)
    print(
        f"{name:26}{best['param_reduce__n_components']:12}{best['mean_test_score']:18.3f}"
        f"{score:8.3f}"
    )
plt.show()
