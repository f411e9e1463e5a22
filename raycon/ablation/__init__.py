"""Ablation studies: from a configuration and its components to arms, claims and contrasts over paired seeds."""
