"""Decorated functions and concrete functions: what runs, what is reported, what a failure leaves behind."""
