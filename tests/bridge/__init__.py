"""Protocol buffers read into the IR and written back."""
