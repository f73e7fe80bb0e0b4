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

from skae import AutoencoderOutlierDetector
from skae.displays import ReconstructionDisplay

table = elnino.load_pandas().data.set_index("YEAR")
series = pd.Series(
    table.to_numpy().ravel(),
    pd.period_range(f"{int(table.index[0])}-01", periods=table.size, freq="M"),
)
windows = np.lib.stride_tricks.sliding_window_view(series, 12)
ends = series.index[11:]

# %%
# The detector fits an autoencoder, and measures how far a window is from what is usual for it.
detector = AutoencoderOutlierDetector(random_state=0).fit(windows)
distances = pd.Series(-detector.score_samples(windows), ends)
odd = distances[detector.predict(windows) == -1]

# %%
# Draw the series, and the distance of the window that ends in each month.
figure, (top, bottom) = plt.subplots(2, 1, figsize=(11, 5.5), sharex=True, layout="constrained")
top.plot(series.index.to_timestamp(), series, linewidth=0.8)
top.set(ylabel="temperature in °C", title="Sea off the coast of Peru")
bottom.plot(ends.to_timestamp(), distances, linewidth=0.8)
bottom.axhline(-detector.offset_, color="gray", linestyle="--", label="limit (minus offset_)")
bottom.set(ylabel="squared distance", xlabel="end of the window")
bottom.legend(frameon=False, loc="upper left")
years = odd.groupby(odd.index.year).agg(["size", "max", "idxmax"])
for end in years["idxmax"]:
    bottom.annotate(end.year, (end.to_timestamp(), odd[end]), fontsize=8, ha="right")

# %%
# The oddest window and a usual one, with what the autoencoder makes of them.
shown = [distances.argmax(), int(np.argsort(distances.to_numpy())[len(distances) // 2])]
scaled = (windows - detector.location_) / detector.scale_
restored = detector.autoencoder_.reconstruct(scaled)[shown] * detector.scale_ + detector.location_
display = ReconstructionDisplay(
    {"original": windows[shown], "reconstruction": restored},
    differences=restored - windows[shown],
    feature_names=[f"month {month}" for month in range(1, 13)],
    samples=[f"that ends in {ends[row]}" for row in shown],
).plot()

# %%
# The years of El Niño are found, though nobody has named them.
print(f"{len(odd)} of {len(windows)} windows are odd. They end in")
for year, (count, distance, end) in years.iterrows():
    blamed = detector.explain(windows[[ends.get_loc(end)]])[0].argmax()
    month = ends[ends.get_loc(end)] - 11 + int(blamed)
    print(f"  {year}: {count} windows, distance up to {distance:.0f}, {month} is to blame most")
plt.show()
