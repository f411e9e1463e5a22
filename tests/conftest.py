"""Settings of every test: one thread, no telemetry, no network."""

from __future__ import annotations

import os
import tempfile

import hypothesis

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "1")
os.environ.setdefault("RAYCON_OFFLINE", "1")
# Nothing that a test writes without saying where lands in the checkout.
os.environ["RAYCON_OUT"] = tempfile.mkdtemp(prefix="raycon-tests-")

# A gate asks the same questions each time; elsewhere the search for counterexamples goes on.
hypothesis.settings.register_profile("gate", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("gate")
