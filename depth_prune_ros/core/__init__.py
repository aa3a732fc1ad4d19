"""What every part shares: numpy and OpenCV only; onnxruntime in engine.py alone."""
