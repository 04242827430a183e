"""What happened, derived from the journal and the remarks: one versioned JSON, and renderers that read it alone."""
