"""Parity with stored vectors: inputs, and the value and gradient that a reference implementation gave for them."""
