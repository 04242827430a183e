"""Programs on which a decorated function must behave exactly as `tf.function` does."""
