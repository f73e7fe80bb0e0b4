"""Fitted estimators as files, of plain dicts and arrays.

Imports `_parameters` and `_network`.
"""
