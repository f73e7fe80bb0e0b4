"""What a network is and what it computes: its description, NumPy inference, ONNX operators.

Imports nothing else of skae, but for `_keras` in the one function that runs what NumPy can't.
"""
