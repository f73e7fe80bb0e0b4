"""Fit networks: from rows and parameters to trained weights.

This package imports `_parameters`, `_data` and `_network`, and `_keras` only inside functions.
"""
