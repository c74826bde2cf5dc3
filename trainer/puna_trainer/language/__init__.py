"""Language models: tokenizer, Llama, pre-training, generation and evaluation."""
