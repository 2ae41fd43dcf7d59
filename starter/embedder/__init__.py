"""How the embedding model in the package is made: the weights of all-MiniLM-L6-v2, in int8, as a graph for onnxruntime."""
