"""Models outside of Riva: ONNX bundles for onnx-asr and sherpa-onnx, and how they are decoded."""
