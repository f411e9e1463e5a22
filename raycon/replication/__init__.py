"""A search or study as one file that others can check, and run in part again: bundle, verify, replicate."""

from __future__ import annotations
