"""A release for places without fedrec: ONNX, ExecuTorch, or JSON with a page that ranks in a browser."""
