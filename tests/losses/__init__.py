"""Tests of the loss library."""
