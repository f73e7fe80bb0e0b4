"""The description of networks, their inference in NumPy and their ONNX operators.

This package imports no other package of skae, except `_keras` in the one function that runs the
networks that NumPy can't run.
"""
