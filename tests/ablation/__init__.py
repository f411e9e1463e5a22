"""Tests of ablation studies."""
