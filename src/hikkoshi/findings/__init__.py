"""Rules that name a problem from the evidence of a run. They read; they never measure."""
