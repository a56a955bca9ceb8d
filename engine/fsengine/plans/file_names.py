"""Names of the files of a repository with plans; read by the server image too, which has no numpy."""

ONNX_FILE = "model.onnx"

PLAN_FILE = "model.plan"

PLANS_FILE = "plans.json"
"""Says what the plans of a repository were built with; whoever serves them compares it first."""
