"""What an op is and does, as data: its signature, its effects, where its operands may be swapped."""
