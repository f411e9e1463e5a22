"""Tests of the data sets, on tiny fakes of the published layout and on the digits."""
