"""Rows: reading what users give, checking it, holding it, corrupting it.

Imports `_network`, for what losses and networks need of rows.
"""
