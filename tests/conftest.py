"""Set up what has to come before the first import of SciPy and of TensorFlow."""

import gc
import os
import sys

# Without this variable scikit-learn silently skips its check of array API input.
assert "scipy" not in sys.modules, "SCIPY_ARRAY_API has to be set before SciPy is imported."
os.environ["SCIPY_ARRAY_API"] = "1"
# With these flags compiling takes less than half as long, and few tests train for long. XLA stops
# the process at a flag that it does not know. `.ci/floors` tests without them.
FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", FLAGS)

from hypothesis import HealthCheck, settings  # noqa: E402  (it may import SciPy)

# Draw the same examples every time and store nothing. An example has no deadline, since it takes as
# long as its network compiles.
settings.register_profile(
    "quick",
    max_examples=12,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "thousand",
    settings.get_profile("quick"),
    max_examples=1000,
    derandomize=False,
    print_blob=True,
)
settings.load_profile("quick")

# TensorFlow keeps objects of each network that it has compiled, a million by the end. A full
# collection visits them all, so it comes less often.
gc.set_threshold(700, 10, 100)
