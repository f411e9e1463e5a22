"""Every term once more, as slow loops in float64 written from the formulas alone: module and function bear its name.

Oracles take nested lists and all knobs by keyword, use no torch, and share nothing with the package.
"""
