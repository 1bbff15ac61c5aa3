"""What may disturb timing: a function each, from the evidence to a finding."""
