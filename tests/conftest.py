"""Set-up that has to come before the first import of SciPy."""

import os
import sys

# Without it scikit-learn silently leaves out its check of array API input.
assert "scipy" not in sys.modules, "SCIPY_ARRAY_API has to be set before SciPy is imported."
os.environ["SCIPY_ARRAY_API"] = "1"
