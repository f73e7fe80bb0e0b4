"""From rows and parameters to trained weights.

Imports `_parameters`, `_data`, `_network`; `_keras` inside functions alone.
"""
