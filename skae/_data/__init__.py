"""Rows: reading, checking, holding and corrupting the data that users pass.

Imports `_network`, which says what losses and networks require of rows.
"""
