"""Export: model files, and the proof that those for llama.cpp are the model."""
