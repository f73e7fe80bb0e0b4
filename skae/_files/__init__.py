"""Files of fitted estimators, made of plain dicts and arrays.

Imports `_parameters` and `_network`.
"""
