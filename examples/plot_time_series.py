"""
Find odd windows of a time series
=================================

statsmodels ships the monthly temperature of the sea off the coast of Peru from 1950 to 2010. Every
twelve months in a row are a window. An outlier detector says which windows are odd, and which
months in them are to blame. El Niño, which warms this sea every few years, should be among them.
"""

# %%
# Windows are rows, and the months in them are columns.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from statsmodels.datasets import elnino

from skae import AutoencoderOutlierDetector, AutoencoderTransformer
from skae.displays import ReconstructionDisplay

table = elnino.load_pandas().data.set_index("YEAR")
series = pd.Series(
    table.to_numpy().ravel(),
    pd.period_range(f"{int(table.index[0])}-01", periods=table.size, freq="M"),
)
windows = np.lib.stride_tricks.sliding_window_view(series, 12)
ends = series.index[11:]

# %%
# Two components are enough for the seasons, so what they leave is not seasonal. `score_samples` is
# minus the squared distance of a window from what is usual.
autoencoder = AutoencoderTransformer(2, random_state=0)
detector = AutoencoderOutlierDetector(autoencoder).fit(windows)
distances = pd.Series(-detector.score_samples(windows), ends)
odd = distances[detector.predict(windows) == -1]
oddest_of_years = odd[odd.groupby(odd.index.year).idxmax()]
oddest = oddest_of_years.nlargest(4).index

# %%
# Draw the series, and the distance of the window that ends in each month.
figure, (top, bottom) = plt.subplots(2, 1, figsize=(10, 5.5), sharex=True, layout="constrained")
top.plot(series.index.to_timestamp(), series, linewidth=0.8)
top.set(ylabel="temperature in °C", title="Temperature of the sea")
bottom.plot(ends.to_timestamp(), distances, linewidth=0.8)
bottom.axhline(-detector.offset_, color="gray", linestyle="--", label="limit (minus offset_)")
bottom.set(xlabel="end of the window", ylabel="squared distance", yscale="log")
bottom.set_title(f"{len(odd)} of {len(windows)} windows are odd")
legend = bottom.legend(frameon=False, loc="upper left")
for end in oddest:
    bottom.annotate(
        end, (end.to_timestamp(), odd[end]), (3, 0), textcoords="offset points", fontsize=8
    )

# %%
# The oddest window and one with the median distance, over what the autoencoder makes of them.
shown = [distances.argmax(), distances.argsort().iloc[len(distances) // 2]]
restored = detector.autoencoder_.reconstruct((windows - detector.location_) / detector.scale_)
restored = restored[shown] * detector.scale_ + detector.location_
display = ReconstructionDisplay(
    {"original": windows[shown], "reconstruction": restored},
    differences=restored - windows[shown],
    feature_names=[f"month {month}" for month in range(1, 13)],
    samples=[f"that ends in {ends[row]}" for row in shown],
).plot()
label = display.axes_[0, 0].set_ylabel("temperature in °C")

# %%
# The oddest windows are those in which the warm water of El Niño came in 1997 and in 1982, out of
# season. Nobody has told the detector of it. `explain` names the month that adds most.
for end in oddest:
    parts = detector.explain(windows[[ends.get_loc(end)]])[0]
    blamed = end - 11 + int(parts.argmax())
    print(f"window up to {end}: distance {odd[end]:.0f}, {parts.max():.0f} of it by {blamed}")
plt.show()
