"""Between TensorFlow's protocol buffers and the IR; with runtime the only room that imports TensorFlow."""
