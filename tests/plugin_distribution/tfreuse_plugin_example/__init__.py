"""What another distribution adds to tfreuse: a pass that remarks, a pass that rewrites, and op facts."""
