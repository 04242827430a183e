"""The op tables against TensorFlow's op registry and its kernels."""
