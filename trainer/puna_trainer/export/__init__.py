"""Export: model files for transformers and llama.cpp, and the proof that they are the model."""
