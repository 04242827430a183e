"""What passes and analyses have to say: done, missed, failed, noticed; each with a stable id."""
